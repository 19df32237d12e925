package io.cadmill.assimp;

import static org.lwjgl.assimp.Assimp.*;
import static org.lwjgl.system.MemoryUtil.NULL;
import static org.lwjgl.system.MemoryUtil.memASCII;
import static org.lwjgl.system.MemoryUtil.memByteBuffer;
import static org.lwjgl.system.MemoryUtil.memByteBufferNT1;

import io.cadmill.Job;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.OpenOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.lwjgl.assimp.AIFile;
import org.lwjgl.assimp.AIFileCloseProc;
import org.lwjgl.assimp.AIFileFlushProc;
import org.lwjgl.assimp.AIFileIO;
import org.lwjgl.assimp.AIFileOpenProc;
import org.lwjgl.assimp.AIFileReadProc;
import org.lwjgl.assimp.AIFileSeek;
import org.lwjgl.assimp.AIFileTellProc;
import org.lwjgl.assimp.AIFileWriteProc;

/**
 * Our side of Assimp's custom file access: where progress is counted and cancellation takes hold,
 * since the C API has no other place for them.
 *
 * <p>Files are opened beneath one directory. That is for the same outcome as in cadmill's own binding;
 * what keeps a converter from other files is the confinement of the process.
 */
final class JobFiles implements AutoCloseable {
    /** One read or write of a channel at most, in bytes. */
    private static final long PIECE = 1 << 30;

    private static final double MEBIBYTES_64 = 64 << 20;

    private final Job job;
    private final Path directory;
    private final Path root;
    /** Bytes that are all of the work, or -1 when files are written. */
    private final long expected;

    private final Map<Long, OpenFile> files = new HashMap<>();
    private final AIFileIO io;
    private final AIFileOpenProc openProc = AIFileOpenProc.create((system, name, mode) -> open(name, mode));
    private final AIFileCloseProc closeProc = AIFileCloseProc.create((system, file) -> close(file));
    private final AIFileReadProc readProc = AIFileReadProc.create(this::read);
    private final AIFileWriteProc writeProc = AIFileWriteProc.create(this::write);
    private final AIFileTellProc tellProc = AIFileTellProc.create(file -> files.get(file).position);
    private final AIFileTellProc sizeProc = AIFileTellProc.create(this::size);
    private final AIFileSeek seekProc = AIFileSeek.create(this::seek);
    private final AIFileFlushProc flushProc = AIFileFlushProc.create(file -> {});

    private long bytes;
    private IOException writeError;
    private Error error;

    private static final class OpenFile {
        final AIFile callbacks;
        final FileChannel channel;
        long position;

        OpenFile(AIFile callbacks, FileChannel channel) {
            this.callbacks = callbacks;
            this.channel = channel;
        }
    }

    /** Reads the files of the input; the content of the input itself is in the file {@code root}. */
    static JobFiles reading(Job job, Path root) throws IOException {
        return new JobFiles(job, job.inputDirectory(), root, Math.max(Files.size(root), 1));
    }

    static JobFiles writing(Job job) {
        return new JobFiles(job, job.outputDirectory(), job.input(), -1);
    }

    private JobFiles(Job job, Path directory, Path root, long expected) {
        this.job = job;
        this.directory = directory;
        this.root = root;
        this.expected = expected;
        io = AIFileIO.calloc().set(openProc, closeProc, NULL);
    }

    AIFileIO callbacks() {
        return io;
    }

    /** What must not go up through the library's frames, and the first write that failed. */
    void rethrow() throws IOException {
        if (error != null) {
            throw error;
        }
        if (writeError != null) {
            throw new IOException("writing the output failed: " + writeError.getMessage(), writeError);
        }
    }

    private long open(long name, long mode) {
        try {
            return open(bytes(name), memASCII(mode));
        } catch (IOException | RuntimeException refused) {
            job.warn("a file named by the input was not opened: " + refused.getMessage());
            return NULL;
        } catch (Error thrown) {
            error = thrown;
            return NULL;
        }
    }

    private static byte[] bytes(long text) {
        ByteBuffer buffer = memByteBufferNT1(text);
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return bytes;
    }

    private long open(byte[] name, String mode) throws IOException {
        boolean writes = !mode.startsWith("r") || mode.contains("+");
        if (job.cancelled() || (writes && expected >= 0)) {
            return NULL;
        }
        try {
            return open(path(name), writes);
        } catch (FileSystemException | CharacterCodingException absent) {
            // Assimp looks for many files that need not be there.
            if (expected < 0 && absent instanceof NoSuchFileException) {
                return NULL;
            }
            if (expected < 0) {
                throw absent;
            }
            Optional<Path> found = job.find(name);
            return found.isEmpty() ? NULL : open(found.get(), false);
        }
    }

    /** The path that a name is, beneath the directory. */
    private Path path(byte[] name) throws IOException {
        CharsetDecoder utf8 = StandardCharsets.UTF_8.newDecoder();
        Path path = directory.resolve(utf8.decode(ByteBuffer.wrap(name)).toString()).normalize();
        if (!path.startsWith(directory)) {
            throw new AccessDeniedException("it lies outside");
        }
        return path.equals(job.input()) ? root : path;
    }

    private long open(Path path, boolean writes) throws IOException {
        Set<OpenOption> options =
                writes
                        ? Set.of(
                                StandardOpenOption.READ,
                                StandardOpenOption.WRITE,
                                StandardOpenOption.CREATE,
                                StandardOpenOption.TRUNCATE_EXISTING)
                        : Set.of(StandardOpenOption.READ);
        FileChannel channel = FileChannel.open(path, options);
        if (!Files.isRegularFile(path)) {
            channel.close();
            throw new IOException("invalid input parameter");
        }
        if (!writes && path.toString().toLowerCase(Locale.ROOT).endsWith(".mtl")) {
            // The names in a material library are meant from its directory, which is known once it was
            // looked up.
            job.expect(directory.relativize(path).toString().getBytes(StandardCharsets.UTF_8));
        }
        AIFile callbacks = AIFile.calloc().set(readProc, writeProc, tellProc, sizeProc, seekProc, flushProc, NULL);
        files.put(callbacks.address(), new OpenFile(callbacks, channel));
        return callbacks.address();
    }

    private void close(long address) {
        OpenFile file = files.remove(address);
        if (file != null) {
            try {
                file.channel.close();
            } catch (IOException failed) {
                noteWriteError(failed);
            }
            file.callbacks.free();
        }
    }

    private long read(long address, long buffer, long size, long count) {
        try {
            if (job.cancelled() || size == 0 || count == 0) {
                return 0;
            }
            OpenFile file = files.get(address);
            long wanted = Math.multiplyExact(size, count);
            long filled = 0;
            while (filled < wanted) {
                ByteBuffer piece = memByteBuffer(buffer + filled, (int) Math.min(wanted - filled, PIECE));
                int length = file.channel.read(piece, file.position);
                if (length <= 0) {
                    break;
                }
                filled += length;
                file.position += length;
            }
            countRead(filled);
            return filled / size;
        } catch (IOException | RuntimeException failed) {
            return 0;
        } catch (Error thrown) {
            error = thrown;
            return 0;
        }
    }

    private long write(long address, long buffer, long size, long count) {
        try {
            if (job.cancelled() || size == 0 || count == 0) {
                return 0;
            }
            OpenFile file = files.get(address);
            long wanted = Math.multiplyExact(size, count);
            long written = 0;
            while (written < wanted) {
                ByteBuffer piece = memByteBuffer(buffer + written, (int) Math.min(wanted - written, PIECE));
                int length = file.channel.write(piece, file.position);
                written += length;
                file.position += length;
            }
            countWritten(written);
            return count;
        } catch (IOException failed) {
            noteWriteError(failed);
            return 0;
        } catch (RuntimeException failed) {
            noteWriteError(new IOException(failed));
            return 0;
        } catch (Error thrown) {
            error = thrown;
            return 0;
        }
    }

    private long size(long address) {
        try {
            return files.get(address).channel.size();
        } catch (IOException failed) {
            return 0;
        }
    }

    private int seek(long address, long offset, int origin) {
        try {
            OpenFile file = files.get(address);
            long from =
                    switch (origin) {
                        case aiOrigin_SET -> 0;
                        case aiOrigin_CUR -> file.position;
                        case aiOrigin_END -> file.channel.size();
                        default -> throw new IOException("no such origin");
                    };
            long target = Math.addExact(from, offset);
            if (target < 0) {
                return aiReturn_FAILURE;
            }
            file.position = target;
            return aiReturn_SUCCESS;
        } catch (IOException | RuntimeException failed) {
            return aiReturn_FAILURE;
        }
    }

    /** Reading is half of the work. Headers are read several times while the format is found out. */
    private void countRead(long more) {
        bytes += more;
        job.progress(Math.min((double) bytes / expected, 1.0) / 2.0);
    }

    /** The size of the output is not known before it is there: approaches the end without reaching it. */
    private void countWritten(long more) {
        bytes += more;
        job.progress(0.5 + 0.5 * bytes / (bytes + MEBIBYTES_64));
    }

    private void noteWriteError(IOException failed) {
        if (expected < 0 && writeError == null) {
            writeError = failed;
        }
    }

    /** After the import or the export, which closes its files. */
    @Override
    public void close() {
        for (long address : files.keySet().toArray(Long[]::new)) {
            close(address);
        }
        io.free();
        openProc.free();
        closeProc.free();
        readProc.free();
        writeProc.free();
        tellProc.free();
        sizeProc.free();
        seekProc.free();
        flushProc.free();
    }
}
