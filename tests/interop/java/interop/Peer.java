package interop;

import java.net.URI;
import java.util.ArrayList;
import java.util.Date;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.x.discovery.ServiceDiscovery;
import org.apache.curator.x.discovery.ServiceDiscoveryBuilder;
import org.apache.curator.x.discovery.ServiceInstance;
import org.apache.curator.x.discovery.ServiceInstanceBuilder;
import org.apache.curator.x.discovery.ServiceProvider;
import org.apache.curator.x.discovery.ServiceType;
import org.apache.curator.x.discovery.UriSpec;
import org.apache.curator.x.discovery.details.JsonInstanceSerializer;
import org.apache.curator.x.discovery.strategies.RoundRobinStrategy;
import org.springframework.cloud.client.loadbalancer.LoadBalancerUriTools;
import org.springframework.cloud.zookeeper.discovery.ZookeeperInstance;
import org.springframework.cloud.zookeeper.discovery.ZookeeperServiceInstance;

/**
 * Curator's discovery with its own serializer, and the classes that Spring Cloud Zookeeper puts above it.
 *
 * list      all instances of a service, as Curator and as Spring read them
 * provide   ids that a ServiceProvider gives in so many tries
 * register  an instance, for as long as this runs
 */
public class Peer {
    private final CuratorFramework client;
    private final Map<String, ServiceDiscovery<?>> open = new HashMap<>();

    private Peer(CuratorFramework client) {
        this.client = client;
    }

    public static void main(String[] arguments) throws Exception {
        Peer peer = new Peer(Commands.connected(arguments[0]));
        Commands.serve(peer::obey);
    }

    private Object obey(Map<?, ?> command) throws Exception {
        String base = (String) command.get("base");
        String service = (String) command.get("service");
        Class<?> kind = "spring".equals(command.get("kind")) ? ZookeeperInstance.class : Object.class;
        switch ((String) command.get("do")) {
            case "list":
                return list(discovery(base, kind), service);
            case "provide":
                return provide(discovery(base, kind), service, (Integer) command.get("times"));
            case "register":
                register(command, base, service);
                return Map.of();
            default:
                throw new IllegalArgumentException("no such command");
        }
    }

    @SuppressWarnings("unchecked")
    private <T> ServiceDiscovery<T> discovery(String base, Class<T> kind) throws Exception {
        String key = base + " " + kind;
        if (!open.containsKey(key)) {
            ServiceDiscovery<T> discovery = ServiceDiscoveryBuilder.builder(kind)
                    .client(client)
                    .basePath(base)
                    .serializer(new JsonInstanceSerializer<>(kind)) // as Spring Cloud Zookeeper has it
                    .build();
            discovery.start();
            open.put(key, discovery);
        }
        return (ServiceDiscovery<T>) open.get(key);
    }

    private <T> Object list(ServiceDiscovery<T> discovery, String service) throws Exception {
        List<Object> found = new ArrayList<>();
        for (ServiceInstance<T> instance : discovery.queryForInstances(service)) {
            Map<String, Object> told = new LinkedHashMap<>();
            told.put("id", instance.getId());
            told.put("address", instance.getAddress());
            told.put("port", instance.getPort());
            told.put("sslPort", instance.getSslPort());
            told.put("enabled", instance.isEnabled());
            told.put("type", instance.getServiceType());
            told.put("time", instance.getRegistrationTimeUTC());
            told.put("uri", instance.buildUriSpec());
            if (instance.getPayload() instanceof ZookeeperInstance) {
                @SuppressWarnings("unchecked")
                ServiceInstance<ZookeeperInstance> springs = (ServiceInstance<ZookeeperInstance>) instance;
                ZookeeperServiceInstance spring = new ZookeeperServiceInstance(service, springs);
                told.put("metadata", spring.getMetadata());
                told.put("springs", spring.getUri().toString());
                told.put("called", called(spring, "http://" + service + "/a?b=c"));
                told.put("calledEncoded", called(spring, "http://" + service + "/%C3%A4?b=%20"));
            } else {
                told.put("payload", String.valueOf(instance.getPayload()));
                told.put("class", instance.getPayload() == null ? null : instance.getPayload().getClass().getName());
            }
            found.add(told);
        }
        return found;
    }

    /** What Spring Cloud LoadBalancer makes of a request's address. */
    private String called(ZookeeperServiceInstance instance, String address) {
        return LoadBalancerUriTools.reconstructURI(instance, URI.create(address)).toString();
    }

    private <T> Object provide(ServiceDiscovery<T> discovery, String service, int times) throws Exception {
        List<String> ids = new ArrayList<>();
        try (ServiceProvider<T> provider = discovery
                .serviceProviderBuilder()
                .serviceName(service)
                .providerStrategy(new RoundRobinStrategy<T>())
                .build()) {
            provider.start();
            for (int number = 0; number < times; number++) {
                ServiceInstance<T> instance = provider.getInstance();
                ids.add(instance == null ? null : instance.getId());
            }
        }
        return ids;
    }

    private void register(Map<?, ?> command, String base, String service) throws Exception {
        String kind = (String) command.get("kind");
        if ("spring".equals(kind)) {
            @SuppressWarnings("unchecked")
            Map<String, String> metadata = (Map<String, String>) command.get("metadata");
            ServiceInstanceBuilder<ZookeeperInstance> builder = ServiceInstance.builder();
            builder.payload(new ZookeeperInstance("application-1", service, metadata));
            register(command, builder, discovery(base, ZookeeperInstance.class), service);
        } else {
            ServiceInstanceBuilder<Object> builder = ServiceInstance.builder();
            builder.payload(payload(kind));
            register(command, builder, discovery(base, Object.class), service);
        }
    }

    private <T> void register(
            Map<?, ?> command, ServiceInstanceBuilder<T> builder, ServiceDiscovery<T> discovery, String service)
            throws Exception {
        builder.name(service)
                .id((String) command.get("id"))
                .address((String) command.get("address"))
                .port((Integer) command.get("port"))
                .serviceType(ServiceType.valueOf((String) command.get("type")))
                .enabled(!Boolean.FALSE.equals(command.get("enabled")))
                .uriSpec(new UriSpec("{scheme}://{address}:{port}"));
        if (command.get("sslPort") != null) {
            builder.sslPort((Integer) command.get("sslPort"));
        }
        discovery.registerService(builder.build());
    }

    private static Object payload(String kind) {
        switch (kind) {
            case "none":
                return null;
            case "text":
                return "text";
            case "long":
                return 7L;
            case "date":
                return new Date(5);
            case "list":
                return new ArrayList<>(List.of("a", 1, 2L));
            case "map":
                return new HashMap<>(Map.of("metadata", new HashMap<>(Map.of("status", "green", "zone", "z1"))));
            default:
                throw new IllegalArgumentException("no such payload");
        }
    }
}
