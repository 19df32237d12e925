package io.cadmill.assimp;

import static org.lwjgl.assimp.Assimp.*;

import io.cadmill.CancelledException;
import io.cadmill.ConversionException;
import io.cadmill.Converter;
import io.cadmill.Description;
import io.cadmill.Format;
import io.cadmill.Job;
import io.cadmill.OptionException;
import io.cadmill.RejectedException;
import io.cadmill.UnfitException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import org.lwjgl.assimp.AIExportFormatDesc;
import org.lwjgl.assimp.AIPropertyStore;
import org.lwjgl.assimp.AIScene;
import org.lwjgl.assimp.AIString;

/**
 * Assimp, in the steps of cadmill's own binding (native-sys/src/engines/assimp): the same calls with
 * the same paths, options and file callbacks, so that the same library writes the same bytes.
 */
public final class AssimpConverter implements Converter {
    /** Writers that put the path into the file, or take its directories for part of the name. */
    private static final Set<String> BARE = Set.of("pbrt", "assbin", "assxml");

    /** Of the step that sorts by kind: what it leaves out. */
    private static final String REMOVED_KINDS = "PP_SBP_REMOVE";

    /** For the service loader. */
    public AssimpConverter() {}

    @Override
    public Description describe() {
        String version = aiGetVersionMajor() + "." + aiGetVersionMinor() + "." + aiGetVersionPatch();
        return new Description("Assimp", version, inputs(), outputs());
    }

    @Override
    public void convert(Job job) throws ConversionException, IOException {
        if (outputs().stream().noneMatch(format -> format.id().equals(job.format()))) {
            throw new OptionException("Assimp writes no format '" + job.format() + "'");
        }
        Options options = Options.parse(job.options());
        if (Textures.areEmbedded(job.format())) {
            options = options.withSteps(options.steps() | aiProcess_EmbedTextures);
        }
        boolean facesOnly = Contents.hasFacesOnly(job.format());
        boolean sorts = (options.steps() & aiProcess_SortByPType) != 0;
        if (facesOnly) {
            // Done after what is left out was counted.
            options = options.withSteps(options.steps() & ~aiProcess_SortByPType)
                    .withDefault(REMOVED_KINDS, aiPrimitiveType_POINT | aiPrimitiveType_LINE);
        }
        if (options.origin() != null && !Origin.appliesTo(job.input())) {
            throw new OptionException("option 'origin' has no effect on this input: it moves the coordinates of"
                    + " obj files only");
        }
        try (Log log = Log.attach(job)) {
            Path root = job.input();
            if (options.origin() != null) {
                Origin.Moved moved = options.origin().move(job);
                log.warn("coordinates were moved by " + moved.by());
                root = moved.file();
            }
            AIScene scene = read(job, root, options);
            try {
                Contents contents = Contents.of(scene);
                contents.coarseness(Origin.advice(job.input(), options.origin())).ifPresent(log::warn);
                contents.notCarried(job.format()).ifPresent(log::warn);
                if (!facesOnly) {
                    contents.lostPoints(job.format()).ifPresent(log::warn);
                }
                Materials.keepOpacity(scene, job.format());
                log.setMissesBaseColours(Materials.missBaseColours(scene));
                if (facesOnly && (contents.hasOthers() || contents.lacksFaces() || sorts)) {
                    scene = facesOf(scene, contents, job.format(), log);
                    if (scene == null) {
                        throw failure("Assimp gave no reason");
                    }
                }
                write(job, scene);
                Textures.of(scene).deliver(job, log);
                job.checkCancelled();
            } finally {
                if (scene != null) {
                    aiReleaseImport(scene);
                }
            }
            log.rethrow();
        }
        job.progress(1.0);
    }

    private static List<String> inputs() {
        try (AIString list = AIString.calloc()) {
            aiGetExtensionList(list);
            List<String> extensions = new ArrayList<>();
            for (String pattern : list.dataString().split(";")) {
                if (pattern.startsWith("*.")) {
                    extensions.add(pattern.substring(2).toLowerCase(Locale.ROOT));
                }
            }
            return extensions;
        }
    }

    private static List<Format> outputs() {
        List<Format> formats = new ArrayList<>();
        for (long index = 0; index < aiGetExportFormatCount(); index++) {
            AIExportFormatDesc description = aiGetExportFormatDescription(index);
            if (description != null) {
                String extension = description.fileExtensionString().toLowerCase(Locale.ROOT);
                formats.add(new Format(description.idString(), extension));
                aiReleaseExportFormatDescription(description);
            }
        }
        return formats;
    }

    /** Reads the input, the content of which is in the file {@code root}. */
    private static AIScene read(Job job, Path root, Options options) throws ConversionException, IOException {
        // Relative to the directory that the files are opened in: some readers put the path into the
        // scene, and a directory of this machine is nobody's business.
        String name = job.inputDirectory().relativize(job.input()).toString();
        AIPropertyStore properties = options.store();
        try (JobFiles files = JobFiles.reading(job, root)) {
            AIScene scene = aiImportFileExWithProperties(name, options.steps(), files.callbacks(), properties);
            files.rethrow();
            if (job.cancelled()) {
                // Reads answered "end of file" from then on: whatever came of it is no scene.
                if (scene != null) {
                    aiReleaseImport(scene);
                }
                throw new CancelledException();
            }
            if (scene == null) {
                throw failure("Assimp gave no reason");
            }
            return scene;
        } finally {
            if (!root.equals(job.input())) {
                Files.delete(root);
            }
            aiReleasePropertyStore(properties);
        }
    }

    /** The scene without what the output format does not have. What is left out is counted. */
    private static AIScene facesOf(AIScene scene, Contents contents, String format, Log log)
            throws ConversionException {
        if (!contents.hasFaces()) {
            throw new UnfitException("it has " + contents.others() + " and no faces, and format '" + format
                    + "' has faces only");
        }
        // Changes the scene in place, or releases it and answers null.
        AIScene sorted = aiApplyPostProcessing(scene, aiProcess_SortByPType);
        if (sorted != null && contents.hasOthers()) {
            log.warn(contents.others() + " were left out: format '" + format + "' has faces only");
        }
        return sorted;
    }

    private static void write(Job job, AIScene scene) throws ConversionException, IOException {
        Path file = job.output().getFileName();
        String name = (BARE.contains(job.format()) ? file : job.output()).toString();
        try (JobFiles files = JobFiles.writing(job)) {
            int answer = aiExportSceneEx(scene, job.format(), name, files.callbacks(), 0);
            files.rethrow();
            job.checkCancelled();
            if (answer == aiReturn_OUTOFMEMORY) {
                throw new OutOfMemoryError("while exporting");
            }
            if (answer != aiReturn_SUCCESS) {
                throw failure("Assimp could not export the scene");
            }
        }
    }

    /**
     * What the library's last error means. It has no error numbers; a failed allocation is the text
     * of the C++ exception.
     */
    private static RejectedException failure(String otherwise) {
        String reason = aiGetErrorString();
        if (reason == null || reason.isEmpty()) {
            return new RejectedException(otherwise);
        }
        if (reason.equals("std::bad_alloc") || reason.equals("bad allocation")) {
            throw new OutOfMemoryError(reason);
        }
        return new RejectedException(reason.stripTrailing());
    }
}
