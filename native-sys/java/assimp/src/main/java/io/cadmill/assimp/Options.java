package io.cadmill.assimp;

import static org.lwjgl.assimp.Assimp.*;

import io.cadmill.Option;
import io.cadmill.OptionException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.lwjgl.assimp.AIPropertyStore;

/**
 * Assimp's options, as cadmill's own binding takes them: steps by the names of Assimp's command line
 * tool, what becomes zero in the coordinates, and import properties with a number for a value. Properties with a text are left out: some of
 * them name files.
 */
record Options(int steps, Origin origin, List<Option> properties) {
    private static final Map<String, Integer> STEPS = new LinkedHashMap<>();

    static {
        STEPS.put("calc-tangent-space", aiProcess_CalcTangentSpace);
        STEPS.put("join-identical-vertices", aiProcess_JoinIdenticalVertices);
        STEPS.put("left-handed", aiProcess_MakeLeftHanded | aiProcess_FlipUVs | aiProcess_FlipWindingOrder);
        STEPS.put("triangulate", aiProcess_Triangulate);
        STEPS.put("gen-normals", aiProcess_GenNormals);
        STEPS.put("gen-smooth-normals", aiProcess_GenSmoothNormals);
        STEPS.put("split-large-meshes", aiProcess_SplitLargeMeshes);
        STEPS.put("pretransform-vertices", aiProcess_PreTransformVertices);
        STEPS.put("limit-bone-weights", aiProcess_LimitBoneWeights);
        STEPS.put("improve-cache-locality", aiProcess_ImproveCacheLocality);
        STEPS.put("remove-redundant-materials", aiProcess_RemoveRedundantMaterials);
        STEPS.put("fix-normals", aiProcess_FixInfacingNormals);
        STEPS.put("sort-by-ptype", aiProcess_SortByPType);
        STEPS.put("find-degenerates", aiProcess_FindDegenerates);
        STEPS.put("find-invalid-data", aiProcess_FindInvalidData);
        STEPS.put("gen-uvcoords", aiProcess_GenUVCoords);
        STEPS.put("transform-uv-coords", aiProcess_TransformUVCoords);
        STEPS.put("find-instances", aiProcess_FindInstances);
        STEPS.put("optimize-meshes", aiProcess_OptimizeMeshes);
        STEPS.put("optimize-graph", aiProcess_OptimizeGraph);
        STEPS.put("flip-uv", aiProcess_FlipUVs);
        STEPS.put("flip-winding-order", aiProcess_FlipWindingOrder);
        STEPS.put("split-by-bone-count", aiProcess_SplitByBoneCount);
        STEPS.put("debone", aiProcess_Debone);
        STEPS.put("validate-data-structure", aiProcess_ValidateDataStructure);
        STEPS.put("drop-normals", aiProcess_DropNormals);
        STEPS.put("embed-textures", aiProcess_EmbedTextures);
        STEPS.put("global-scale", aiProcess_GlobalScale);
    }

    static Options parse(List<Option> options) throws OptionException {
        int steps = 0;
        Origin origin = null;
        List<Option> properties = new ArrayList<>();
        for (Option option : options) {
            if (option.name().equals("postprocess")) {
                for (String step : option.value().split(",")) {
                    steps |= step.isBlank() ? 0 : flag(step.strip());
                }
            } else if (option.name().equals("origin")) {
                origin = Origin.parse(option.value());
            } else if (option.name().startsWith("prop.")) {
                properties.add(property(option));
            } else {
                throw new OptionException("the engine has no option '" + option.name()
                        + "'; it takes postprocess, origin and prop.NAME");
            }
        }
        return new Options(steps, origin, List.copyOf(properties));
    }

    /** The same with other steps. */
    Options withSteps(int others) {
        return new Options(others, origin, properties);
    }

    /** The same with a property, unless it was given. */
    Options withDefault(String name, int value) {
        if (properties.stream().anyMatch(property -> property.name().equals(name))) {
            return this;
        }
        List<Option> more = new ArrayList<>(properties);
        more.add(new Option(name, Integer.toString(value)));
        return new Options(steps, origin, List.copyOf(more));
    }

    /** A store that the caller releases. */
    AIPropertyStore store() {
        AIPropertyStore store = aiCreatePropertyStore();
        for (Option property : properties) {
            try {
                aiSetImportPropertyInteger(store, property.name(), Integer.parseInt(property.value()));
            } catch (NumberFormatException notWhole) {
                aiSetImportPropertyFloat(store, property.name(), Float.parseFloat(property.value()));
            }
        }
        return store;
    }

    private static int flag(String step) throws OptionException {
        Integer flag = STEPS.get(step);
        if (flag == null) {
            throw new OptionException("option 'postprocess' has no step '" + step + "'; the steps are "
                    + String.join(", ", STEPS.keySet()));
        }
        return flag;
    }

    private static Option property(Option option) throws OptionException {
        String name = option.name().substring("prop.".length());
        if (!name.matches("[A-Z0-9_]+")) {
            throw new OptionException("option '" + option.name()
                    + "': a property's name has capital letters, digits and '_' only");
        }
        if (!option.value().matches("[+-]?[0-9]+|[+-]?([0-9]+\\.?[0-9]*|\\.[0-9]+)([eE][+-]?[0-9]+)?")) {
            throw new OptionException("option '" + option.name() + "': write a number, not '" + option.value()
                    + "'; 1 and 0 stand for yes and no");
        }
        return new Option(name, option.value());
    }
}
