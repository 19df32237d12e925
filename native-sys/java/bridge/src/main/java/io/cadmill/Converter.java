package io.cadmill;

import java.io.IOException;

/**
 * A converter that cadmill runs in a JVM.
 *
 * <p>cadmill finds it with {@link java.util.ServiceLoader} on the engine's class path: the jar names
 * the class in {@code META-INF/services/io.cadmill.Converter}. The class has a public constructor
 * without arguments.
 *
 * <p>A process makes one converter, asks it for its {@link #describe description}, and lets it
 * convert one file at most. So it need not be reentrant and need not clean up after itself. It runs
 * confined: it reads its own jars and libraries and the job's input, writes the job's output and
 * {@code java.io.tmpdir}, and has no network and no other process. What it prints is dropped.
 */
public interface Converter {
    /**
     * What the converter is, and what it reads and writes. Called first; native libraries that are
     * missing or of the wrong version show here.
     *
     * @return the description
     * @throws ConversionException when the converter cannot work at all
     */
    Description describe() throws ConversionException;

    /**
     * Converts one file. Blocks until it is done, and calls {@link Job#progress} and
     * {@link Job#cancelled} as often as it can.
     *
     * @param job what to convert, to what, where
     * @throws RejectedException when the input is not what this converter reads
     * @throws UnfitException when the input does not fit the output format
     * @throws OptionException when an option or the format is unknown, or its value
     * @throws CancelledException after {@link Job#cancelled} answered true
     * @throws ConversionException for any other reason of its own
     * @throws IOException when reading or writing failed
     */
    void convert(Job job) throws ConversionException, IOException;
}
