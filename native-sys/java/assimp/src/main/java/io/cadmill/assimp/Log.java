package io.cadmill.assimp;

import static org.lwjgl.assimp.Assimp.*;
import static org.lwjgl.system.MemoryUtil.memUTF8;

import io.cadmill.Job;
import org.lwjgl.assimp.AILogStream;
import org.lwjgl.assimp.AILogStreamCallback;

/** Assimp's warnings and errors, passed on to the job while this is open. */
final class Log implements AutoCloseable {
    /** Lines beyond this are dropped. */
    private static final int MAX_LINES = 100;

    private final Job job;
    private final AILogStreamCallback callback;
    private final AILogStream stream;
    private int lines;
    private Error error;

    private Log(Job job) {
        this.job = job;
        callback = AILogStreamCallback.create((message, user) -> take(message));
        stream = AILogStream.calloc().callback(callback);
    }

    static Log attach(Job job) {
        Log log = new Log(job);
        aiAttachLogStream(log.stream);
        return log;
    }

    /** An error must not go up through the library's frames. */
    void rethrow() {
        if (error != null) {
            throw error;
        }
    }

    /** Reports what the library does not. */
    void warn(String line) {
        job.warn(line);
    }

    /** Lines look like {@code Warn,  T0: text}. */
    private void take(long message) {
        try {
            String text = memUTF8(message);
            boolean tells = text.startsWith("Warn,") || text.startsWith("Error,");
            int colon = text.indexOf(": ");
            String line = text.substring(colon < 0 ? 0 : colon + 2);
            // Textures that are missing are reported by `Textures`, once, and in its words.
            if (tells && !line.startsWith("EmbedTexturesProcess: ") && lines++ < MAX_LINES) {
                job.warn(line.stripTrailing());
            }
        } catch (Error thrown) {
            error = thrown;
        }
    }

    @Override
    public void close() {
        aiDetachAllLogStreams();
        stream.free();
        callback.free();
    }
}
