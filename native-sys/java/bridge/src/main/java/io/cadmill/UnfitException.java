package io.cadmill;

/** The input was read, but does not fit the output format or the options. */
public class UnfitException extends ConversionException {
    private static final long serialVersionUID = 1L;

    /** @param message one sentence for the owner of the job, which says why */
    public UnfitException(String message) {
        super(message);
    }
}
