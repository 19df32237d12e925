package io.cadmill;

/** The job was cancelled, and the converter has stopped. */
public class CancelledException extends ConversionException {
    private static final long serialVersionUID = 1L;

    /** Says so. */
    public CancelledException() {
        super("cancelled");
    }
}
