package io.cadmill.assimp;

import static org.lwjgl.assimp.Assimp.*;
import static org.lwjgl.system.MemoryUtil.memByteBuffer;

import io.cadmill.Job;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.IntBuffer;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashSet;
import java.util.Set;
import org.lwjgl.PointerBuffer;
import org.lwjgl.assimp.AIMaterial;
import org.lwjgl.assimp.AIScene;
import org.lwjgl.assimp.AIString;
import org.lwjgl.assimp.AITexture;

/**
 * Textures go where the format puts them: into the output, beside it, or nowhere. What is missing in
 * the result is reported. The same as {@code textures.rs} of cadmill's own binding.
 *
 * @param named the names that the materials refer to, a character for each byte
 * @param embedded the number of textures in the scene itself
 */
record Textures(Set<String> named, int embedded) {
    /** Formats that carry the textures with them. */
    private static final Set<String> EMBEDDING =
            Set.of("collada", "fbx", "fbxa", "glb", "glb2", "gltf", "gltf2");

    /** Formats that name the files of the textures, as the author of the input did. */
    private static final Set<String> NAMING =
            Set.of("3ds", "assbin", "assjson", "assxml", "obj", "pbrt", "ply", "plyb", "x", "x3d");

    /** Formats that name files, and also carry the textures that are within the input. */
    private static final Set<String> CARRYING = Set.of("assbin", "assjson", "assxml", "pbrt");

    /** Kinds of textures; later versions have more than earlier ones. */
    private static final int KINDS = 32;

    /** Whether Assimp embeds the textures in this format. */
    static boolean areEmbedded(String format) {
        return EMBEDDING.contains(format);
    }

    static Textures of(AIScene scene) {
        Set<String> files = new LinkedHashSet<>();
        PointerBuffer textures = scene.mTextures();
        for (int i = 0; textures != null && i < scene.mNumTextures(); i++) {
            files.add(baseName(text(AITexture.create(textures.get(i)).mFilename())));
        }
        Set<String> named = new LinkedHashSet<>();
        PointerBuffer materials = scene.mMaterials();
        for (int i = 0; materials != null && i < scene.mNumMaterials(); i++) {
            AIMaterial material = AIMaterial.create(materials.get(i));
            for (int kind = 1; kind < KINDS; kind++) {
                addNames(material, kind, files, named);
            }
        }
        return new Textures(named, scene.mNumTextures());
    }

    private static void addNames(AIMaterial material, int kind, Set<String> files, Set<String> named) {
        int count = aiGetMaterialTextureCount(material, kind);
        for (int index = 0; index < count; index++) {
            try (AIString path = AIString.calloc()) {
                IntBuffer nothing = null;
                int answer = aiGetMaterialTexture(
                        material, kind, index, path, nothing, nothing, null, nothing, nothing, nothing);
                String name = text(path);
                // `*0` is the first texture in the scene; others are found by their file names.
                boolean isEmbedded = name.startsWith("*") || files.contains(baseName(name));
                if (answer == aiReturn_SUCCESS && !name.isEmpty() && !isEmbedded) {
                    named.add(name);
                }
            }
        }
    }

    /** Puts the textures beside an output that names them, and reports those that are not in the result. */
    void deliver(Job job, Log log) throws IOException {
        int all = named.size() + embedded;
        if (areEmbedded(job.format())) {
            // The names of those that were embedded are gone.
            for (String name : named) {
                if (job.expect(bytes(name)).isPresent()) {
                    log.warn("the texture '" + shown(name) + "' could not be embedded");
                }
            }
        } else if (NAMING.contains(job.format())) {
            for (String name : named) {
                try {
                    job.takeAlong(bytes(name));
                } catch (IOException failed) {
                    String reason = failed.getMessage();
                    throw new IOException("writing the texture '" + shown(name) + "' failed: " + reason, failed);
                }
            }
            if (embedded > 0 && !CARRYING.contains(job.format())) {
                log.warn("format '" + job.format() + "' has textures in files only: " + embedded
                        + " within the input were left out");
            }
        } else if (all > 0) {
            log.warn("format '" + job.format() + "' has no textures: " + all + " were left out");
        }
    }

    private static String text(AIString text) {
        ByteBuffer data = memByteBuffer(text.address() + AIString.DATA, AIString.SIZEOF - AIString.DATA);
        StringBuilder characters = new StringBuilder();
        for (int i = 0; i < data.capacity() && data.get(i) != 0; i++) {
            characters.append((char) (data.get(i) & 0xff));
        }
        return characters.toString();
    }

    private static String baseName(String name) {
        return name.substring(Math.max(name.lastIndexOf('/'), name.lastIndexOf('\\')) + 1);
    }

    private static byte[] bytes(String name) {
        return name.getBytes(StandardCharsets.ISO_8859_1);
    }

    private static String shown(String name) {
        return new String(bytes(name), StandardCharsets.UTF_8);
    }
}
