package io.cadmill;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/** One conversion. Its methods may be called from any thread. */
public interface Job {
    /**
     * The file to convert, inside {@link #inputDirectory}.
     *
     * @return an absolute path
     */
    Path input();

    /**
     * The only directory that the job may read from. Files that accompany the input lie there.
     *
     * @return an absolute path
     */
    Path inputDirectory();

    /**
     * The main output file, inside {@link #outputDirectory}. Others may be written beside it.
     *
     * @return an absolute path
     */
    Path output();

    /**
     * The only directory that the job may write to, besides {@code java.io.tmpdir}.
     *
     * @return an absolute path
     */
    Path outputDirectory();

    /**
     * The format to write, one of those that the converter described.
     *
     * @return a {@link Format#id}
     */
    String format();

    /**
     * Options, in the order in which they were given.
     *
     * @return an immutable list
     */
    List<Option> options();

    /**
     * Tells that so much of the work is done.
     *
     * @param fraction from 0 to 1
     */
    void progress(double fraction);

    /**
     * Tells of something that could not be done, or is odd with the input; the work goes on.
     *
     * @param line one line of text, without content of the file
     */
    void warn(String line);

    /**
     * The file that a name in the input means, when no file has this very name: with other
     * separators, percent-encoded, in another encoding, case or composition. What was found is
     * reported.
     *
     * @param name the bytes of the name, relative to {@link #inputDirectory}
     * @return the only file that the name can mean
     */
    Optional<Path> find(byte[] name);

    /**
     * The file that a name in the input means, under this name or as {@link #find} does, beside the
     * input or beneath {@link #inputDirectory}. It is reported if there is none.
     *
     * @param name the bytes of the name, as the input has them
     * @return the file
     */
    Optional<Path> expect(byte[] name);

    /**
     * Copies a file that {@link #expect} finds, so that it lies beside the output under the name
     * that the input, and now the output, has for it. It is reported if that cannot be.
     *
     * @param name the bytes of the name, as the input has them
     * @throws IOException when writing failed
     */
    void takeAlong(byte[] name) throws IOException;

    /**
     * Whether to stop. Cheap enough for inner loops that take a microsecond and more.
     *
     * @return true once the job was cancelled
     */
    boolean cancelled();

    /**
     * Stops a job that was cancelled.
     *
     * @throws CancelledException when it was
     */
    default void checkCancelled() throws CancelledException {
        if (cancelled()) {
            throw new CancelledException();
        }
    }
}
