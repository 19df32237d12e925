package io.cadmill.bridge;

import io.cadmill.Job;
import io.cadmill.Option;
import java.nio.file.Path;
import java.util.List;
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
    public boolean cancelled() {
        return events.cancelled();
    }
}
