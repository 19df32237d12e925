package io.cadmill;

import java.nio.file.Path;
import java.util.List;

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
