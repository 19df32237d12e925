package io.cadmill;

/**
 * A format that a converter writes.
 *
 * @param id the converter's own id of the format
 * @param extension file extension, lower case, without a dot; empty when there is none
 */
public record Format(String id, String extension) {}
