package interop;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.cloud.client.ServiceInstance;
import org.springframework.cloud.client.discovery.DiscoveryClient;
import org.springframework.cloud.client.loadbalancer.LoadBalanced;
import org.springframework.cloud.client.loadbalancer.LoadBalancerClient;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Primary;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RequestParam;
import org.springframework.web.bind.annotation.RestController;
import org.springframework.web.client.RestClient;

/** A Spring Boot application of the usual kind, which tells what it sees of services and calls them. */
@SpringBootApplication
@RestController
public class Application {
    private final DiscoveryClient discovery;
    private final LoadBalancerClient balancer;
    private final RestClient.Builder http;

    Application(DiscoveryClient discovery, LoadBalancerClient balancer, @LoadBalanced RestClient.Builder http) {
        this.discovery = discovery;
        this.balancer = balancer;
        this.http = http;
    }

    public static void main(String[] arguments) {
        SpringApplication.run(Application.class, arguments);
    }

    @GetMapping("/")
    String hello() {
        return "spring";
    }

    /** What the discovery client lists. */
    @GetMapping("/instances")
    List<Map<String, Object>> instances(@RequestParam("service") String service) {
        List<Map<String, Object>> found = new ArrayList<>();
        for (ServiceInstance instance : discovery.getInstances(service)) {
            Map<String, Object> told = new LinkedHashMap<>();
            told.put("id", instance.getInstanceId());
            told.put("uri", instance.getUri().toString());
            told.put("metadata", instance.getMetadata());
            found.add(told);
        }
        return found;
    }

    /** How often the load balancer chooses each port. */
    @GetMapping("/choose")
    Map<Integer, Integer> choose(@RequestParam("service") String service, @RequestParam("times") int times) {
        Map<Integer, Integer> chosen = new TreeMap<>();
        for (int number = 0; number < times; number++) {
            ServiceInstance instance = balancer.choose(service);
            chosen.merge(instance == null ? 0 : instance.getPort(), 1, Integer::sum);
        }
        return chosen;
    }

    /** What a service answers to a call through the load balancer. */
    @GetMapping("/call")
    String call(@RequestParam("service") String service) {
        return http.build().get().uri("http://" + service + "/").retrieve().body(String.class);
    }

    @org.springframework.context.annotation.Configuration
    static class Http {
        @Bean
        @LoadBalanced
        RestClient.Builder http() {
            return RestClient.builder();
        }

        /** What registries' own clients take: their servers are found by address, not by the load balancer. */
        @Bean
        @Primary
        RestClient.Builder plain() {
            return RestClient.builder();
        }
    }
}
