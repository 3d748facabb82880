import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderLatchListener;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.ExponentialBackoffRetry;
import org.apache.curator.x.discovery.ServiceCache;
import org.apache.curator.x.discovery.ServiceDiscovery;
import org.apache.curator.x.discovery.ServiceDiscoveryBuilder;
import org.apache.curator.x.discovery.ServiceInstance;
import org.apache.curator.x.discovery.ServiceProvider;
import org.apache.curator.x.discovery.details.JsonInstanceSerializer;
import org.apache.curator.x.discovery.details.ServiceCacheListener;
import org.apache.curator.x.discovery.strategies.RoundRobinStrategy;

/**
 * Apache Curator used in the usual way, driven by lines on stdin; each answer is a line of JSON. Times of day are
 * those of System.nanoTime, which on Linux is the monotonic clock that other processes read as well.
 *
 * connect                          another client, until it is connected                  {"seconds": …}
 * fill PATH SERVICE COUNT          a ServiceCache, until it holds COUNT instances         {"seconds": …}
 * watch PATH SERVICE COUNT         the same, and keeps it; from then on a line at each of its changes:
 *                                                                          {"changed": nanoseconds, "count": …}
 * hold PATH COUNT SERVICE…         a ServiceCache for each service, until each holds COUNT   {"seconds": …}
 * crowd PATH COUNT SERVICE CLIENTS the same for one service, with a ServiceCache and a connection for each client
 * know COUNT WEIGHT MANY           waits until each cache that is held has COUNT instances, of which at least MANY
 *                                  are of this weight     {"known": nanoseconds, "calls": … of all listeners}
 * release                          closes what is watched or held                         {"closed": …}
 * heap                             bytes that are in use after a collection               {"bytes": …}
 * register PATH SERVICE COUNT      registers instances one by one, then takes them out    {"seconds": …, "leaving": …}
 * select PATH SERVICE PICKS        picks from a ServiceProvider, round robin              {"nanoseconds": … a pick}
 * lead PATH                        a LeaderLatch                     {"started": …}, later {"leading": nanoseconds}
 * resign                           closes it                             {"resigned": nanoseconds, just before}
 * contend PATH CLIENTS MANY TURNS  so many contenders of an InterProcessMutex take all turns         {"seconds": …}
 * line PATH CLIENTS MANY GAP       so many arrive at it one by one, GAP milliseconds apart
 *                                                          {"places": … out of the order of arrival, on the mean}
 */
public class Peer {
    private static final long LIMIT = 120_000_000_000L; // nanoseconds for anything that is waited for

    private final String hosts;
    private final int sessionTimeout; // milliseconds
    private final CuratorFramework client;
    private final List<AutoCloseable> open = new ArrayList<>(); // closed in reverse
    private final AtomicLong calls = new AtomicLong();
    @SuppressWarnings("rawtypes")
    private final List<ServiceCache<Map>> held = new ArrayList<>();
    private final List<CuratorFramework> sharing = new ArrayList<>(); // the connections of contenders
    private LeaderLatch latch;

    private Peer(String hosts, int sessionTimeout) throws Exception {
        this.hosts = hosts;
        this.sessionTimeout = sessionTimeout;
        this.client = connected();
    }

    private CuratorFramework connected() throws Exception {
        CuratorFramework started = CuratorFrameworkFactory.newClient(
                hosts, sessionTimeout, 15_000, new ExponentialBackoffRetry(100, 10));
        started.start();
        started.blockUntilConnected();
        return started;
    }

    public static void main(String[] arguments) throws Exception {
        Peer peer = new Peer(arguments[0], Integer.parseInt(arguments[1]));
        say("{\"session\": " + peer.client.getZookeeperClient().getZooKeeper().getSessionId() + "}");
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            try {
                peer.obey(line.trim().split(" "));
            } catch (Exception error) {
                say("{\"error\": \"" + error.toString().replaceAll("[\"\\\\\\p{Cntrl}]", " ") + "\"}");
            }
        }
        for (CuratorFramework each : peer.sharing) {
            each.close();
        }
        peer.client.close();
    }

    private static synchronized void say(String line) {
        System.out.println(line);
        System.out.flush();
    }

    private void obey(String[] words) throws Exception {
        switch (words[0]) {
            case "connect":
                connect();
                break;
            case "fill":
                fill(words[1], words[2], Integer.parseInt(words[3]));
                break;
            case "watch":
                watch(words[1], words[2], Integer.parseInt(words[3]));
                break;
            case "hold":
                long start = System.nanoTime();
                hold(client, words[1], Arrays.asList(words).subList(3, words.length));
                await(Integer.parseInt(words[2]), start);
                break;
            case "crowd":
                crowd(words[1], Integer.parseInt(words[2]), words[3], Integer.parseInt(words[4]));
                break;
            case "know":
                know(Integer.parseInt(words[1]), words[2], Integer.parseInt(words[3]));
                break;
            case "release":
                release();
                break;
            case "heap":
                System.gc();
                Runtime runtime = Runtime.getRuntime();
                say("{\"bytes\": " + (runtime.totalMemory() - runtime.freeMemory()) + "}");
                break;
            case "register":
                register(words[1], words[2], Integer.parseInt(words[3]));
                break;
            case "select":
                select(words[1], words[2], Integer.parseInt(words[3]));
                break;
            case "lead":
                lead(words[1]);
                break;
            case "contend":
                double took = contenders(words).contend(Integer.parseInt(words[3]), Integer.parseInt(words[4]));
                say("{\"seconds\": " + took + "}");
                break;
            case "line":
                double off = contenders(words).lineUp(Integer.parseInt(words[3]), Integer.parseInt(words[4]));
                say("{\"places\": " + off + "}");
                break;
            case "resign":
                say("{\"resigned\": " + System.nanoTime() + "}");
                latch.close();
                break;
            default:
                throw new IllegalArgumentException("no such command: " + words[0]);
        }
    }

    @SuppressWarnings({"rawtypes", "unchecked"})
    private static ServiceDiscovery<Map> discovery(CuratorFramework client, String path) throws Exception {
        ServiceDiscovery<Map> discovery = ServiceDiscoveryBuilder.builder(Map.class)
                .client(client)
                .basePath(path)
                .serializer(new JsonInstanceSerializer<>(Map.class))
                .build();
        discovery.start();
        return discovery;
    }

    private static double seconds(long start) {
        return (System.nanoTime() - start) / 1e9;
    }

    @SuppressWarnings("rawtypes")
    private static void await(ServiceCache<Map> cache, int count) throws Exception {
        long end = System.nanoTime() + LIMIT;
        while (cache.getInstances().size() < count) {
            if (System.nanoTime() > end) {
                throw new TimeoutException("only " + cache.getInstances().size() + " instances");
            }
            Thread.sleep(1);
        }
    }

    private void connect() throws Exception {
        long start = System.nanoTime();
        CuratorFramework another = connected();
        double took = seconds(start);
        another.close();
        say("{\"seconds\": " + took + "}");
    }

    @SuppressWarnings("rawtypes")
    private void fill(String path, String service, int count) throws Exception {
        try (ServiceDiscovery<Map> discovery = discovery(client, path);
                ServiceCache<Map> cache = discovery.serviceCacheBuilder().name(service).build()) {
            long start = System.nanoTime();
            cache.start();
            await(cache, count);
            say("{\"seconds\": " + seconds(start) + "}");
        }
    }

    @SuppressWarnings("rawtypes")
    private void watch(String path, String service, int count) throws Exception {
        long start = System.nanoTime();
        ServiceCache<Map> cache = cache(client, path, service);
        cache.start();
        await(cache, count);
        onChange(cache, () -> {
            long now = System.nanoTime();
            say("{\"changed\": " + now + ", \"count\": " + cache.getInstances().size() + "}");
        });
        say("{\"seconds\": " + seconds(start) + "}");
    }

    @SuppressWarnings("rawtypes")
    private void hold(CuratorFramework owner, String path, List<String> services) throws Exception {
        for (String service : services) {
            ServiceCache<Map> cache = cache(owner, path, service);
            onChange(cache, calls::incrementAndGet);
            cache.startImmediate();
            held.add(cache);
        }
    }

    private void crowd(String path, int count, String service, int clients) throws Exception {
        long start = System.nanoTime();
        for (int number = 0; number < clients; number++) {
            CuratorFramework owner = connected();
            open.add(owner);
            hold(owner, path, List.of(service));
        }
        await(count, start);
    }

    @SuppressWarnings("rawtypes")
    private void await(int count, long start) throws Exception {
        for (ServiceCache<Map> cache : held) {
            await(cache, count);
        }
        say("{\"seconds\": " + seconds(start) + "}");
    }

    @SuppressWarnings("rawtypes")
    private void know(int count, String weight, int many) throws Exception {
        long end = System.nanoTime() + LIMIT;
        for (ServiceCache<Map> cache : held) {
            while (!knows(cache, count, weight, many)) {
                if (System.nanoTime() > end) {
                    throw new TimeoutException("not " + many + " of " + count + " instances of weight " + weight);
                }
                Thread.sleep(1);
            }
        }
        say("{\"known\": " + System.nanoTime() + ", \"calls\": " + calls + "}");
    }

    @SuppressWarnings("rawtypes")
    private static boolean knows(ServiceCache<Map> cache, int count, String weight, int many) {
        List<ServiceInstance<Map>> instances = cache.getInstances();
        if (instances.size() != count) {
            return false;
        }
        int left = many;
        for (int place = 0; left > 0 && place < count; place++) {
            if (weight.equals(instances.get(place).getPayload().get("weight"))) {
                left--;
            }
        }
        return left == 0;
    }

    @SuppressWarnings("rawtypes")
    private ServiceCache<Map> cache(CuratorFramework owner, String path, String service) throws Exception {
        ServiceDiscovery<Map> discovery = discovery(owner, path);
        open.add(discovery);
        ServiceCache<Map> cache = discovery.serviceCacheBuilder().name(service).build();
        open.add(cache);
        return cache;
    }

    @SuppressWarnings("rawtypes")
    private static void onChange(ServiceCache<Map> cache, Runnable changed) {
        cache.addListener(new ServiceCacheListener() {
            @Override
            public void cacheChanged() {
                changed.run();
            }

            @Override
            public void stateChanged(CuratorFramework framework, ConnectionState state) {}
        });
    }

    private void release() throws Exception {
        for (int place = open.size() - 1; place >= 0; place--) {
            open.get(place).close();
        }
        say("{\"closed\": " + open.size() + "}");
        open.clear();
        held.clear();
    }

    private Contenders contenders(String[] words) throws Exception {
        while (sharing.size() < Integer.parseInt(words[2])) {
            sharing.add(sharing.isEmpty() ? client : connected());
        }
        return new Contenders(sharing, words[1]);
    }

    @SuppressWarnings("rawtypes")
    private void register(String path, String service, int count) throws Exception {
        Map<String, String> metadata = new LinkedHashMap<>();
        for (int entry = 0; entry < 5; entry++) {
            metadata.put("key-" + entry, "value-" + entry);
        }
        List<ServiceInstance<Map>> instances = new ArrayList<>();
        for (int index = 0; index < count; index++) {
            instances.add(ServiceInstance.<Map>builder()
                    .name(service)
                    .id("c" + index)
                    .address("10.0.0.1")
                    .port(1 + index % 65_000)
                    .payload(new HashMap<>(metadata))
                    .build());
        }
        ServiceDiscovery<Map> discovery = discovery(client, path);
        long start = System.nanoTime();
        for (ServiceInstance<Map> instance : instances) {
            discovery.registerService(instance);
        }
        double took = seconds(start);
        start = System.nanoTime();
        discovery.close();
        say("{\"seconds\": " + took + ", \"leaving\": " + seconds(start) + "}");
    }

    @SuppressWarnings("rawtypes")
    private void select(String path, String service, int picks) throws Exception {
        try (ServiceDiscovery<Map> discovery = discovery(client, path);
                ServiceProvider<Map> provider = discovery.serviceProviderBuilder()
                        .serviceName(service)
                        .providerStrategy(new RoundRobinStrategy<>())
                        .build()) {
            provider.start();
            for (int pick = 0; pick < picks; pick++) {
                provider.getInstance(); // the compiler warms up
            }
            long start = System.nanoTime();
            for (int pick = 0; pick < picks; pick++) {
                provider.getInstance();
            }
            say("{\"nanoseconds\": " + (System.nanoTime() - start) / (double) picks + "}");
        }
    }

    private void lead(String path) throws Exception {
        latch = new LeaderLatch(client, path);
        latch.addListener(new LeaderLatchListener() {
            @Override
            public void isLeader() {
                say("{\"leading\": " + System.nanoTime() + "}");
            }

            @Override
            public void notLeader() {}
        });
        latch.start();
        say("{\"started\": " + System.nanoTime() + "}");
    }
}
