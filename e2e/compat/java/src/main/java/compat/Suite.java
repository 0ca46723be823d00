package compat;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * Runs the named cases at the same time, since most of their time is waiting, and prints one line
 * for each: "ok NAME" or "FAIL NAME: why". The exit status is 1 when one failed.
 *
 * <p>Options: --endpoint HOST:PORT --prefix NAME --messages N --tls on|off --cases a,b,c
 * --access-key NAME --secret-key SECRET
 */
public final class Suite {
  private static final int LIMIT_SECONDS = 170;

  private Suite() {}

  public static void main(String[] args) throws InterruptedException {
    Map<String, String> options = options(args);
    Cases cases = new Cases(
        new Clients(
            options.get("endpoint"),
            options.getOrDefault("tls", "on").equals("on"),
            options.getOrDefault("access-key", ""),
            options.getOrDefault("secret-key", "")),
        options.get("prefix"),
        Integer.parseInt(options.getOrDefault("messages", "10000")));
    Map<String, Cases.Case> all = cases.all();
    String[] names = options.getOrDefault("cases", String.join(",", all.keySet())).split(",");

    long limit = System.nanoTime() + TimeUnit.SECONDS.toNanos(LIMIT_SECONDS);
    ExecutorService pool = Executors.newCachedThreadPool();
    List<Future<?>> running = new ArrayList<>();
    for (String name : names) {
      running.add(pool.submit(() -> report(name, all.get(name))));
    }
    boolean failed = false;
    for (int i = 0; i < names.length; i++) {
      try {
        running.get(i).get(limit - System.nanoTime(), TimeUnit.NANOSECONDS);
      } catch (TimeoutException e) {
        System.out.println("FAIL " + names[i] + ": still running after " + LIMIT_SECONDS + " s");
        failed = true;
      } catch (ExecutionException e) {
        failed = true;
      }
    }
    // The SDK keeps threads of its own; do not wait for them.
    System.exit(failed ? 1 : 0);
  }

  private static Void report(String name, Cases.Case body) throws Exception {
    try {
      Check.that(body != null, "there is no such case");
      body.run();
      System.out.println("ok " + name);
      return null;
    } catch (Exception | AssertionError e) {
      System.out.println("FAIL " + name + ": " + e.toString().replace('\n', ' '));
      e.printStackTrace();
      throw e;
    }
  }

  private static Map<String, String> options(String[] args) {
    Map<String, String> options = new HashMap<>();
    for (int i = 0; i + 1 < args.length; i += 2) {
      options.put(args[i].replaceFirst("^--", ""), args[i + 1]);
    }
    return options;
  }
}
