package io.cadmill.assimp;

import static org.lwjgl.assimp.Assimp.*;
import static org.lwjgl.system.MemoryUtil.memGetFloat;

import io.cadmill.UnfitException;
import java.math.BigDecimal;
import java.math.RoundingMode;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.lwjgl.PointerBuffer;
import org.lwjgl.assimp.AIFace;
import org.lwjgl.assimp.AIMaterial;
import org.lwjgl.assimp.AIMesh;
import org.lwjgl.assimp.AIScene;
import org.lwjgl.assimp.AIString;
import org.lwjgl.assimp.AIVector3D;

/**
 * What a scene contains, and what an output format could not have of it. The same as {@code scene.rs}
 * of cadmill's own binding.
 */
final class Contents {
    /** Formats whose meshes have faces only. */
    private static final Set<String> FACES_ONLY = Set.of("3ds", "3mf", "stl", "stlb", "stp", "x");

    /** Formats without materials. */
    private static final Set<String> NO_MATERIALS = Set.of("objnomtl", "ply", "plyb", "stl", "stlb", "stp");

    /** Formats without colours of vertices. */
    private static final Set<String> NO_COLOURS = Set.of("3ds", "3mf", "stl", "stlb", "stp");

    /** Formats with animations, cameras and lights: in others their writers leave them out. */
    private static final Set<String> ANIMATED = Set.of(
            "assbin", "assjson", "assxml", "collada", "fbx", "fbxa", "glb", "glb2", "gltf", "gltf2");

    private static final Set<String> WITH_CAMERAS = Set.of("assbin", "assjson", "assxml", "collada", "pbrt");
    private static final Set<String> WITH_LIGHTS = Set.of("assbin", "assjson", "assxml", "collada", "pbrt", "x3d");

    /** Formats whose writers have the points of a mesh without faces, as point clouds are read. */
    private static final Set<String> WITH_LOOSE_POINTS = Set.of("assbin", "assjson", "assxml", "glb2", "gltf2");

    /** Formats whose writers leave out all points. */
    private static final Set<String> NO_POINTS = Set.of("collada");

    /** The material that the library makes for a model without any. */
    private static final String NO_MATERIAL = "DefaultMaterial";

    /** Coordinates are single-precision numbers, of 24 significant bits. */
    private static final int SIGNIFICANT_BITS = 24;

    /**
     * A model whose coordinates are kept in steps of more than this part of its size loses details
     * that are seen.
     */
    private static final double COARSE = 1e-5;

    private long vertices;
    private long points;
    private long loose;
    private long lines;
    private long faces;
    private long coloured;
    private long materials;
    private long animations;
    private long cameras;
    private long lights;
    private double[] least;
    private double[] most;

    private Contents() {}

    static boolean hasFacesOnly(String format) {
        return FACES_ONLY.contains(format);
    }

    static Contents of(AIScene scene) {
        Contents contents = new Contents();
        PointerBuffer meshes = scene.mMeshes();
        for (int i = 0; meshes != null && i < scene.mNumMeshes(); i++) {
            contents.add(AIMesh.create(meshes.get(i)));
        }
        PointerBuffer materials = scene.mMaterials();
        for (int i = 0; materials != null && i < scene.mNumMaterials(); i++) {
            contents.materials += isDefault(AIMaterial.create(materials.get(i))) ? 0 : 1;
        }
        contents.animations = scene.mNumAnimations();
        contents.cameras = scene.mNumCameras();
        contents.lights = scene.mNumLights();
        return contents;
    }

    /** Whether a material stands for none. */
    private static boolean isDefault(AIMaterial material) {
        try (AIString name = AIString.calloc()) {
            int answer = aiGetMaterialString(material, AI_MATKEY_NAME, 0, 0, name);
            String text = name.dataString();
            return answer != aiReturn_SUCCESS || text.isEmpty() || text.equals(NO_MATERIAL);
        }
    }

    /** What the format cannot carry: the warning. */
    Optional<String> notCarried(String format) {
        List<String> lacking = new ArrayList<>();
        add(lacking, materials, "materials", !NO_MATERIALS.contains(format));
        add(lacking, coloured, "meshes with colours of vertices", !NO_COLOURS.contains(format));
        add(lacking, animations, "animations", ANIMATED.contains(format));
        add(lacking, cameras, "cameras", WITH_CAMERAS.contains(format));
        add(lacking, lights, "lights", WITH_LIGHTS.contains(format));
        return lacking.isEmpty()
                ? Optional.empty()
                : Optional.of("format '" + format + "' cannot carry " + String.join(", ", lacking));
    }

    private static void add(List<String> lacking, long count, String what, boolean isCarried) {
        if (count > 0 && !isCarried) {
            lacking.add(count + " " + what);
        }
    }

    private void add(AIMesh mesh) {
        coloured += mesh.mColors(0) == null ? 0 : 1;
        vertices += mesh.mNumVertices();
        if (mesh.mNumFaces() == 0) {
            points += mesh.mNumVertices();
            loose += mesh.mNumVertices();
        }
        AIFace.Buffer list = mesh.mNumFaces() > 0 ? mesh.mFaces() : null;
        for (int i = 0; list != null && i < list.capacity(); i++) {
            switch (AIFace.nmNumIndices(list.address(i))) {
                case 0, 1 -> points++;
                case 2 -> lines++;
                default -> faces++;
            }
        }
        AIVector3D.Buffer places = mesh.mNumVertices() > 0 ? mesh.mVertices() : null;
        for (int i = 0; places != null && i < places.capacity(); i++) {
            add(places.address(i));
        }
    }

    private void add(long vertex) {
        double[] place = {
            memGetFloat(vertex + AIVector3D.X), memGetFloat(vertex + AIVector3D.Y), memGetFloat(vertex + AIVector3D.Z)
        };
        for (double number : place) {
            if (!Double.isFinite(number)) {
                return;
            }
        }
        if (least == null) {
            least = place.clone();
            most = place.clone();
        }
        for (int axis = 0; axis < 3; axis++) {
            least[axis] = Math.min(least[axis], place[axis]);
            most[axis] = Math.max(most[axis], place[axis]);
        }
    }

    /** Whether there is something, but no face. */
    boolean lacksFaces() {
        return vertices > 0 && faces == 0;
    }

    boolean hasFaces() {
        return faces > 0;
    }

    boolean hasOthers() {
        return points + lines > 0;
    }

    /**
     * The warning of points that the writer of the format leaves out.
     *
     * @throws UnfitException when there is nothing else
     */
    Optional<String> lostPoints(String format) throws UnfitException {
        long ofClouds = WITH_LOOSE_POINTS.contains(format) ? 0 : loose;
        long lost = NO_POINTS.contains(format) ? points : ofClouds;
        if (lost == 0) {
            return Optional.empty();
        }
        if (points + lines + faces > lost) {
            return Optional.of(lost + " points were left out: Assimp writes no such points in format '" + format + "'");
        }
        throw new UnfitException("it has " + lost + " points and no faces, and Assimp writes no such points in format '"
                + format + "'; convert it to glb");
    }

    /** Points and lines, as texts say them. */
    String others() {
        return lines + " lines and " + points + " points";
    }

    /**
     * What is lost because coordinates are single-precision numbers: the warning, if it is more than
     * what anybody would see. It ends with what the user can do.
     */
    Optional<String> coarseness(String advice) {
        double largest = 0;
        double size = 0;
        for (int axis = 0; least != null && axis < 3; axis++) {
            largest = Math.max(largest, Math.max(Math.abs(least[axis]), Math.abs(most[axis])));
            size = Math.max(size, most[axis] - least[axis]);
        }
        // Vertices that have all become one are the worst loss.
        if (largest == 0 || vertices < 2) {
            return Optional.empty();
        }
        double step = Math.scalb(1.0, Math.getExponent(largest) - (SIGNIFICANT_BITS - 1));
        if (step <= size * COARSE) {
            return Optional.empty();
        }
        return Optional.of("coordinates of up to " + fixed(largest, 0) + " are kept in steps of " + shortest(step)
                + ", and the model is " + fixed(size, 3) + " large: finer details are lost; " + advice);
    }

    /** With so many decimals, rounded to even as in Rust. */
    private static String fixed(double number, int decimals) {
        return new BigDecimal(number).setScale(decimals, RoundingMode.HALF_EVEN).toPlainString();
    }

    /** The shortest text that means this number, without an exponent. */
    private static String shortest(double number) {
        return new BigDecimal(Double.toString(number)).stripTrailingZeros().toPlainString();
    }
}
