/** What calls converters: the native side of cadmill, and {@code main} by hand. */
package io.cadmill.bridge;
