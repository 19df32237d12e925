package io.cadmill.bridge;

import io.cadmill.CancelledException;
import io.cadmill.ConversionException;
import io.cadmill.OptionException;
import io.cadmill.UnfitException;

/**
 * How a call ended, in words that the native side knows: a kind and its fields.
 *
 * <p>Kinds: {@code described}, {@code converted}, {@code rejected}, {@code unfit}, {@code option},
 * {@code cancelled}, {@code memory}, and for a class path that cannot be used {@code missing}, {@code symbol} and
 * {@code version}.
 */
record Answer(String kind, String text) {
    /** Longest text, in characters; the native side cuts it again. */
    private static final int MAX_TEXT = 2000;

    /** Causes that are looked at; a chain may be endless. */
    private static final int MAX_CAUSES = 16;

    /** What a failure means. Never a stack trace. */
    static Answer of(Throwable thrown) {
        if (thrown instanceof CancelledException) {
            return new Answer("cancelled", "");
        }
        if (thrown instanceof OptionException) {
            return new Answer("option", message(thrown));
        }
        if (thrown instanceof UnfitException) {
            return new Answer("unfit", message(thrown));
        }
        if (thrown instanceof ConversionException) {
            return new Answer("rejected", message(thrown));
        }
        Throwable cause = thrown;
        for (int depth = 0; cause != null && depth < MAX_CAUSES; depth++, cause = cause.getCause()) {
            String kind = kindOfError(cause);
            if (kind != null) {
                return new Answer(kind, named(cause));
            }
        }
        return new Answer("rejected", named(thrown));
    }

    /** Errors that are of the installation or the machine, not of the input. */
    private static String kindOfError(Throwable thrown) {
        if (thrown instanceof OutOfMemoryError) {
            return "memory";
        }
        if (thrown instanceof UnsupportedClassVersionError) {
            return "version";
        }
        if (thrown instanceof UnsatisfiedLinkError) {
            return "missing";
        }
        if (thrown instanceof ExceptionInInitializerError && thrown.getCause() != null) {
            return null;
        }
        return thrown instanceof LinkageError ? "symbol" : null;
    }

    /** Class and message. */
    private static String named(Throwable thrown) {
        String message = message(thrown);
        String name = thrown.getClass().getName();
        return message.isEmpty() ? name : cut(name + ": " + message);
    }

    private static String message(Throwable thrown) {
        try {
            String message = thrown.getMessage();
            return message == null ? "" : cut(message);
        } catch (RuntimeException | Error hostile) {
            // The class is the vendor's, and so is the method.
            return "";
        }
    }

    private static String cut(String text) {
        return text.length() <= MAX_TEXT ? text : text.substring(0, MAX_TEXT);
    }
}
