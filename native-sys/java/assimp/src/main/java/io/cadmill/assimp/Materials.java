package io.cadmill.assimp;

import static org.lwjgl.assimp.Assimp.*;

import java.nio.ByteBuffer;
import java.util.Set;
import org.lwjgl.PointerBuffer;
import org.lwjgl.assimp.AIMaterial;
import org.lwjgl.assimp.AIMaterialProperty;
import org.lwjgl.assimp.AIScene;

/**
 * Materials that a writer of Assimp makes wrong, or reports wrongly. The same as {@code materials.rs} of
 * cadmill's own binding.
 */
final class Materials {
    /**
     * Formats whose writer multiplies the alpha of the base colour by the opacity, which the reader of
     * these formats took from that alpha.
     */
    private static final Set<String> MULTIPLYING = Set.of("glb2", "gltf2");

    /** Keys of properties; only the reader of glTF sets the last one. */
    private static final String OPACITY = "$mat.opacity";

    private static final String BASE_COLOUR = "$clr.base";
    private static final String ALPHA_MODE = "$mat.gltf.alphaMode";

    private Materials() {}

    /** Makes opaque what has its alpha in the base colour already. */
    static void keepOpacity(AIScene scene, String format) {
        PointerBuffer materials = MULTIPLYING.contains(format) ? scene.mMaterials() : null;
        for (int i = 0; materials != null && i < scene.mNumMaterials(); i++) {
            AIMaterial material = AIMaterial.create(materials.get(i));
            ByteBuffer mode = find(material, ALPHA_MODE, 0);
            ByteBuffer colour = find(material, BASE_COLOUR, 4);
            ByteBuffer opacity = find(material, OPACITY, 1);
            boolean isThere = mode != null && colour != null && opacity != null;
            if (isThere && opacity.getFloat(0) == colour.getFloat(3 * Float.BYTES)) {
                opacity.putFloat(0, 1);
            }
        }
    }

    /** The data of a property, of as many numbers at least. */
    private static ByteBuffer find(AIMaterial material, String key, int floats) {
        PointerBuffer properties = material.mProperties();
        for (int i = 0; properties != null && i < material.mNumProperties(); i++) {
            AIMaterialProperty property = AIMaterialProperty.create(properties.get(i));
            if (property.mKey().dataString().equals(key) && property.mDataLength() >= floats * Float.BYTES) {
                return property.mData();
            }
        }
        return null;
    }

    /**
     * Whether a material has a base colour texture, and no diffuse texture, which the writer of FBX would
     * have.
     */
    static boolean missBaseColours(AIScene scene) {
        PointerBuffer materials = scene.mMaterials();
        for (int i = 0; materials != null && i < scene.mNumMaterials(); i++) {
            AIMaterial material = AIMaterial.create(materials.get(i));
            int base = aiGetMaterialTextureCount(material, aiTextureType_BASE_COLOR);
            if (base > aiGetMaterialTextureCount(material, aiTextureType_DIFFUSE)) {
                return true;
            }
        }
        return false;
    }
}
