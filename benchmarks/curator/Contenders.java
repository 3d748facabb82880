import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;

/** Contenders of one InterProcessMutex, on a thread each; they share some connections. */
final class Contenders {
    private final List<CuratorFramework> clients;
    private final String path;

    Contenders(List<CuratorFramework> clients, String path) {
        this.clients = clients;
        this.path = path;
    }

    private InterProcessMutex mutex(int number) {
        return new InterProcessMutex(clients.get(number % clients.size()), path);
    }

    /** Seconds in which so many contenders take so many turns together. */
    double contend(int contenders, int turns) throws Exception {
        CountDownLatch ready = new CountDownLatch(contenders);
        CountDownLatch go = new CountDownLatch(1);
        ExecutorService pool = Executors.newFixedThreadPool(contenders);
        List<Future<?>> done = new ArrayList<>();
        for (int number = 0; number < contenders; number++) {
            InterProcessMutex mutex = mutex(number);
            done.add(pool.submit(() -> {
                ready.countDown();
                go.await();
                for (int turn = 0; turn < turns / contenders; turn++) {
                    mutex.acquire();
                    mutex.release();
                }
                return null;
            }));
        }
        ready.await();
        long start = System.nanoTime();
        go.countDown();
        for (Future<?> each : done) {
            each.get();
        }
        double took = (System.nanoTime() - start) / 1e9;
        pool.shutdown();
        return took;
    }

    /** Places by which the order of service differs from that of arrival, on the mean. */
    double lineUp(int contenders, int gap) throws Exception {
        List<Integer> served = Collections.synchronizedList(new ArrayList<>());
        ExecutorService pool = Executors.newFixedThreadPool(contenders);
        List<Future<?>> done = new ArrayList<>();
        InterProcessMutex first = mutex(0);
        first.acquire();
        for (int arrived = 0; arrived < contenders; arrived++) {
            int number = arrived;
            InterProcessMutex mutex = mutex(number);
            done.add(pool.submit(() -> {
                mutex.acquire();
                served.add(number);
                mutex.release();
                return null;
            }));
            Thread.sleep(gap);
        }
        while (clients.get(0).getChildren().forPath(path).size() <= contenders) {
            Thread.sleep(gap);
        }
        first.release();
        for (Future<?> each : done) {
            each.get();
        }
        pool.shutdown();
        double off = 0;
        for (int place = 0; place < contenders; place++) {
            off += Math.abs(place - served.get(place));
        }
        return off / contenders;
    }
}
