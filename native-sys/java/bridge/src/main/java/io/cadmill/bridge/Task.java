package io.cadmill.bridge;

import io.cadmill.Job;
import io.cadmill.Option;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicLong;

/** A job as converters see it. */
record Task(
        Path input,
        Path inputDirectory,
        Path output,
        Path outputDirectory,
        String format,
        List<Option> options,
        Events events,
        AtomicLong warnings)
        implements Job {

    @Override
    public void progress(double fraction) {
        events.progress(fraction);
    }

    @Override
    public void warn(String line) {
        warnings.incrementAndGet();
        events.warn(String.valueOf(line));
    }

    @Override
    public Optional<Path> find(byte[] name) {
        return path(events.locate(name));
    }

    @Override
    public Optional<Path> expect(byte[] name) {
        return path(events.expect(name));
    }

    @Override
    public void takeAlong(byte[] name) throws IOException {
        byte[] failed = events.takeAlong(name);
        if (failed != null) {
            throw new IOException(new String(failed, StandardCharsets.UTF_8));
        }
    }

    private Optional<Path> path(byte[] relative) {
        return Optional.ofNullable(relative)
                .map(bytes -> inputDirectory.resolve(new String(bytes, StandardCharsets.UTF_8)));
    }

    @Override
    public boolean cancelled() {
        return events.cancelled();
    }
}
