package io.cadmill.bridge;

import io.cadmill.Converter;
import io.cadmill.Description;
import io.cadmill.Format;
import io.cadmill.Option;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.ServiceLoader;
import java.util.concurrent.atomic.AtomicLong;

/**
 * What the native side calls. Everything crosses as UTF-8 texts that are joined by NUL; no exception
 * crosses.
 */
final class Bridge {
    private static final String SEPARATOR = "\0";

    private static ServiceLoader.Provider<Converter> provider;

    private static Engine engine;

    private Bridge() {}

    /** Finds the converter, and runs nothing of it; the field is its class, or empty. */
    static byte[] find(byte[] request) {
        try {
            provider = Engine.find(text(request));
            return bytes("found");
        } catch (Throwable thrown) {
            return failed(thrown);
        }
    }

    /** Makes the converter that was found, or finds it first; the field is as above. */
    static byte[] open(byte[] request) {
        try {
            engine = Engine.open(provider == null ? Engine.find(text(request)) : provider);
            return described(engine.description());
        } catch (Throwable thrown) {
            return failed(thrown);
        }
    }

    /** Converts one file. */
    static byte[] convert(byte[] request) {
        try {
            List<String> fields = new ArrayList<>(Arrays.asList(text(request).split(SEPARATOR, -1)));
            Task task = task(fields, new NativeEvents());
            engine.converter().convert(task);
            return bytes("converted", Long.toString(task.warnings().get()));
        } catch (Throwable thrown) {
            return failed(thrown);
        }
    }

    private static Task task(List<String> fields, Events events) {
        List<Option> options = new ArrayList<>();
        for (int i = 5; i + 1 < fields.size(); i += 2) {
            options.add(new Option(fields.get(i), fields.get(i + 1)));
        }
        return new Task(
                Path.of(fields.get(0)),
                Path.of(fields.get(1)),
                Path.of(fields.get(2)),
                Path.of(fields.get(3)),
                fields.get(4),
                List.copyOf(options),
                events,
                new AtomicLong());
    }

    private static byte[] described(Description description) {
        List<String> fields = new ArrayList<>(List.of("described", description.library(), description.version()));
        fields.add(String.join(",", description.inputs()));
        for (Format format : description.outputs()) {
            fields.add(format.id());
            fields.add(format.extension());
        }
        return bytes(fields.toArray(String[]::new));
    }

    private static byte[] failed(Throwable thrown) {
        Answer answer = Answer.of(thrown);
        return bytes(answer.kind(), answer.text());
    }

    private static byte[] bytes(String... fields) {
        String[] clean = new String[fields.length];
        for (int i = 0; i < fields.length; i++) {
            clean[i] = fields[i].replace(SEPARATOR, " ");
        }
        return String.join(SEPARATOR, clean).getBytes(StandardCharsets.UTF_8);
    }

    private static String text(byte[] bytes) {
        return new String(bytes, StandardCharsets.UTF_8);
    }

    /** Told through the native side. */
    private static final class NativeEvents implements Events {
        @Override
        public void progress(double fraction) {
            Bridge.progress(fraction);
        }

        @Override
        public void warn(String line) {
            Bridge.warn(line.getBytes(StandardCharsets.UTF_8));
        }

        @Override
        public boolean cancelled() {
            return Bridge.cancelled();
        }

        @Override
        public byte[] locate(byte[] name) {
            return Bridge.locate(name);
        }

        @Override
        public byte[] expect(byte[] name) {
            return Bridge.expect(name);
        }

        @Override
        public byte[] takeAlong(byte[] name) {
            return Bridge.takeAlong(name);
        }
    }

    private static native void progress(double fraction);

    private static native void warn(byte[] line);

    private static native boolean cancelled();

    private static native byte[] locate(byte[] name);

    private static native byte[] expect(byte[] name);

    private static native byte[] takeAlong(byte[] name);
}
