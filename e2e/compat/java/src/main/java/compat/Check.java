package compat;

import java.util.Objects;
import java.util.concurrent.Callable;

/** Assertions that are on in every JVM and say what was expected. */
final class Check {
  private Check() {}

  static void that(boolean holds, String otherwise) {
    if (!holds) throw new AssertionError(otherwise);
  }

  static void equal(String what, Object expected, Object actual) {
    that(Objects.equals(expected, actual), what + ": expected " + expected + ", got " + actual);
  }

  static void between(String what, double low, double high, double actual) {
    String text = String.format("%s: expected %.1f to %.1f, got %.1f", what, low, high, actual);
    that(low <= actual && actual <= high, text);
  }

  /** Runs `action`, which must throw a `type`, and returns what it threw. */
  static <T extends Throwable> T throwing(Class<T> type, String what, Callable<?> action) {
    try {
      action.call();
    } catch (Throwable thrown) {
      if (type.isInstance(thrown)) return type.cast(thrown);
      String text = what + ": expected " + type.getSimpleName() + ", got " + thrown;
      throw new AssertionError(text, thrown);
    }
    throw new AssertionError(what + ": was accepted");
  }
}
