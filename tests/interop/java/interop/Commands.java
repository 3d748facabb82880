package interop;

import com.fasterxml.jackson.core.json.JsonWriteFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.retry.ExponentialBackoffRetry;

/** A program that obeys: a line of JSON on stdin is a command, the line on stdout its answer. It ends with its input. */
final class Commands {
    private static final ObjectMapper JSON = new ObjectMapper();

    /** Does what a command says; returns the answer. */
    interface Program {
        Object obey(Map<?, ?> command) throws Exception;
    }

    private Commands() {}

    static CuratorFramework connected(String hosts) throws InterruptedException {
        CuratorFramework client =
                CuratorFrameworkFactory.newClient(hosts, 6_000, 15_000, new ExponentialBackoffRetry(100, 10));
        client.start();
        client.blockUntilConnected();
        return client;
    }

    static void serve(Program program) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            Map<?, ?> command = JSON.readValue(line, Map.class);
            Object answer;
            try {
                answer = program.obey(command);
            } catch (Exception error) {
                answer = Map.of("error", error.toString());
            }
            // Escaped, so that it does not depend on the encoding of this process.
            System.out.println(JSON.writer()
                    .with(JsonWriteFeature.ESCAPE_NON_ASCII)
                    .writeValueAsString(answer));
        }
        System.exit(0); // with sessions open, as a crash does
    }
}
