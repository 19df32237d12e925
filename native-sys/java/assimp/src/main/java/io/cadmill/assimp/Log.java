package io.cadmill.assimp;

import static org.lwjgl.assimp.Assimp.*;
import static org.lwjgl.system.MemoryUtil.memUTF8;

import io.cadmill.Job;
import java.util.List;
import org.lwjgl.assimp.AILogStream;
import org.lwjgl.assimp.AILogStreamCallback;

/** Assimp's warnings and errors, passed on to the job while this is open. */
final class Log implements AutoCloseable {
    /** Lines beyond this are dropped. */
    private static final int MAX_LINES = 100;

    /**
     * Lines that do not tell of a loss: textures that are missing are reported by {@link Textures}, once,
     * and in its words; and the reader of OBJ begins an object for faces that have none, after it said
     * this.
     */
    private static final List<String> NOISE = List.of(
            "EmbedTexturesProcess: ", "OBJ: No object detected to attach a new mesh instance.");

    /**
     * The writer of FBX passes over the textures of this kind, the base colour. Of a glTF file they are
     * diffuse textures too, which it writes.
     */
    private static final String BASE_COLOUR = "Not sure how to handle texture of type 12 ";

    private final Job job;
    private final AILogStreamCallback callback;
    private final AILogStream stream;
    private int lines;
    private boolean missesBaseColours = true;
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

    /** Tells that each base colour texture of the scene is a diffuse texture too, or not. */
    void setMissesBaseColours(boolean misses) {
        missesBaseColours = misses;
    }

    /** Lines look like {@code Warn,  T0: text}. */
    private void take(long message) {
        try {
            String text = memUTF8(message);
            boolean tells = text.startsWith("Warn,") || text.startsWith("Error,");
            int colon = text.indexOf(": ");
            String line = text.substring(colon < 0 ? 0 : colon + 2);
            boolean saysNothing = NOISE.stream().anyMatch(line::startsWith)
                    || (line.startsWith(BASE_COLOUR) && !missesBaseColours);
            if (tells && !saysNothing && lines++ < MAX_LINES) {
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
