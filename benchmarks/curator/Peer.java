import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeoutException;
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
 * fill PATH SERVICE COUNT      a ServiceCache, until it holds COUNT instances           {"seconds": …}
 * watch PATH SERVICE COUNT     the same, and keeps it; from then on a line at each of its changes:
 *                                                                      {"changed": nanoseconds, "count": …}
 * unwatch                      closes the caches that are watched                        {"closed": …}
 * register PATH SERVICE COUNT  registers instances one by one, then takes them out       {"seconds": …, "leaving": …}
 * select PATH SERVICE PICKS    picks from a ServiceProvider, round robin                 {"nanoseconds": … a pick}
 * lead PATH                    a LeaderLatch                        {"started": …}, later {"leading": nanoseconds}
 * resign                       closes it                                                 {"resigned": nanoseconds}
 */
public class Peer {
    private static final long LIMIT = 120_000_000_000L; // nanoseconds for anything that is waited for

    private final CuratorFramework client;
    private final List<AutoCloseable> watched = new ArrayList<>(); // closed in reverse
    private LeaderLatch latch;

    private Peer(CuratorFramework client) {
        this.client = client;
    }

    public static void main(String[] arguments) throws Exception {
        int sessionTimeout = Integer.parseInt(arguments[1]); // milliseconds
        CuratorFramework client = CuratorFrameworkFactory.newClient(
                arguments[0], sessionTimeout, 15_000, new ExponentialBackoffRetry(100, 10));
        client.start();
        client.blockUntilConnected();
        Peer peer = new Peer(client);
        say("{\"ready\": true}");
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            try {
                peer.obey(line.trim().split(" "));
            } catch (Exception error) {
                say("{\"error\": \"" + error.toString().replaceAll("[\"\\\\\\p{Cntrl}]", " ") + "\"}");
            }
        }
        client.close();
    }

    private static synchronized void say(String line) {
        System.out.println(line);
        System.out.flush();
    }

    private void obey(String[] words) throws Exception {
        switch (words[0]) {
            case "fill":
                fill(words[1], words[2], Integer.parseInt(words[3]));
                break;
            case "watch":
                watch(words[1], words[2], Integer.parseInt(words[3]));
                break;
            case "unwatch":
                unwatch();
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
            case "resign":
                latch.close();
                say("{\"resigned\": " + System.nanoTime() + "}");
                break;
            default:
                throw new IllegalArgumentException("no such command: " + words[0]);
        }
    }

    @SuppressWarnings({"rawtypes", "unchecked"})
    private ServiceDiscovery<Map> discovery(String path) throws Exception {
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

    @SuppressWarnings("rawtypes")
    private void fill(String path, String service, int count) throws Exception {
        try (ServiceDiscovery<Map> discovery = discovery(path);
                ServiceCache<Map> cache = discovery.serviceCacheBuilder().name(service).build()) {
            long start = System.nanoTime();
            cache.start();
            await(cache, count);
            say("{\"seconds\": " + seconds(start) + "}");
        }
    }

    @SuppressWarnings("rawtypes")
    private void watch(String path, String service, int count) throws Exception {
        ServiceDiscovery<Map> discovery = discovery(path);
        watched.add(discovery);
        ServiceCache<Map> cache = discovery.serviceCacheBuilder().name(service).build();
        watched.add(cache);
        long start = System.nanoTime();
        cache.start();
        await(cache, count);
        cache.addListener(new ServiceCacheListener() {
            @Override
            public void cacheChanged() {
                long now = System.nanoTime();
                say("{\"changed\": " + now + ", \"count\": " + cache.getInstances().size() + "}");
            }

            @Override
            public void stateChanged(CuratorFramework framework, ConnectionState state) {}
        });
        say("{\"seconds\": " + seconds(start) + "}");
    }

    private void unwatch() throws Exception {
        for (int place = watched.size() - 1; place >= 0; place--) {
            watched.get(place).close();
        }
        say("{\"closed\": " + watched.size() + "}");
        watched.clear();
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
        ServiceDiscovery<Map> discovery = discovery(path);
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
        try (ServiceDiscovery<Map> discovery = discovery(path);
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
