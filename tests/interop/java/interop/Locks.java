package interop;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.locks.LockSupport;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.Revoker;

/**
 * Curator's locks. The kind of a lock is mutex, read or write; of turns it is mutex or read-write.
 *
 * turns     takes so many turns; each is [kind, begin, end] with the monotonic clock of the machine in nanoseconds
 * hold      holds a lock until `release`, if it is free within so many seconds; a revocable one notes requests
 * asked     waits for a request for the release of what is held
 * revoke    asks the holder with that node to release
 */
public class Locks {
    private static final long LIMIT = 60; // seconds
    private static final long STAY = 200_000; // nanoseconds that a turn takes

    private final CuratorFramework client;
    private final Semaphore requests = new Semaphore(0);
    private InterProcessMutex held;

    private Locks(CuratorFramework client) {
        this.client = client;
    }

    public static void main(String[] arguments) throws Exception {
        Locks locks = new Locks(Commands.connected(arguments[0]));
        Commands.serve(locks::obey);
    }

    private Object obey(Map<?, ?> command) throws Exception {
        String path = (String) command.get("path");
        String kind = (String) command.get("kind");
        switch ((String) command.get("do")) {
            case "turns":
                return turns(path, kind, (Integer) command.get("turns"));
            case "hold":
                return Map.of("held", hold(lock(path, kind), (Number) command.get("seconds")));
            case "release":
                held.release();
                return Map.of();
            case "asked":
                return Map.of("asked", requests.tryAcquire(LIMIT, TimeUnit.SECONDS));
            case "revoke":
                Revoker.attemptRevoke(client, path);
                return Map.of();
            default:
                throw new IllegalArgumentException("no such command");
        }
    }

    private InterProcessMutex lock(String path, String kind) {
        InterProcessReadWriteLock both = new InterProcessReadWriteLock(client, path);
        switch (kind) {
            case "mutex":
                return new InterProcessMutex(client, path);
            case "read":
                return both.readLock();
            case "write":
                return both.writeLock();
            default:
                throw new IllegalArgumentException("no such lock");
        }
    }

    private boolean hold(InterProcessMutex lock, Number seconds) throws Exception {
        lock.makeRevocable(asked -> requests.release());
        if (!lock.acquire((long) (seconds.doubleValue() * 1000), TimeUnit.MILLISECONDS)) {
            return false;
        }
        held = lock;
        return true;
    }

    private Object turns(String path, String kind, int turns) throws Exception {
        boolean one = kind.equals("mutex");
        InterProcessMutex exclusive = lock(path, one ? "mutex" : "write");
        InterProcessMutex shared = lock(path, "read");
        List<Object> taken = new ArrayList<>();
        for (int turn = 0; turn < turns; turn++) {
            boolean reads = !one && turn % 3 != 0;
            InterProcessMutex lock = reads ? shared : exclusive;
            if (!lock.acquire(LIMIT, TimeUnit.SECONDS)) {
                throw new TimeoutException("not free in time");
            }
            try {
                long begin = System.nanoTime();
                LockSupport.parkNanos(STAY);
                taken.add(List.of(reads ? "read" : "write", begin, System.nanoTime()));
            } finally {
                lock.release();
            }
        }
        return taken;
    }
}
