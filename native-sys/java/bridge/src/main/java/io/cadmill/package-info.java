/** What a converter in Java implements. Published: it is extended, never changed. */
package io.cadmill;
