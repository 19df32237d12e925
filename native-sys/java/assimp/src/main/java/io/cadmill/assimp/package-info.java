/** Assimp as a converter in Java, through the jars of LWJGL. */
package io.cadmill.assimp;
