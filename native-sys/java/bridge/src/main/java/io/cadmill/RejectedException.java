package io.cadmill;

/** The input is not what the converter reads, or it is damaged. */
public class RejectedException extends ConversionException {
    private static final long serialVersionUID = 1L;

    /** @param message one sentence for the owner of the job */
    public RejectedException(String message) {
        super(message);
    }

    /**
     * @param message one sentence for the owner of the job
     * @param cause what it came from
     */
    public RejectedException(String message, Throwable cause) {
        super(message, cause);
    }
}
