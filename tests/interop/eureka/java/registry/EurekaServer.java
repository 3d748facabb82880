package registry;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.cloud.netflix.eureka.server.EnableEurekaServer;

/** A Eureka server as Spring Cloud's documentation makes one. */
@SpringBootApplication
@EnableEurekaServer
public class EurekaServer {
    public static void main(String[] arguments) {
        SpringApplication.run(EurekaServer.class, arguments);
    }
}
