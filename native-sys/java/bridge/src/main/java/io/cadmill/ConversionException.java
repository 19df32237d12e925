package io.cadmill;

/** Why a conversion failed. The message is shown to the owner of the job; the stack trace is not. */
public class ConversionException extends Exception {
    private static final long serialVersionUID = 1L;

    /** @param message one sentence for the owner of the job */
    public ConversionException(String message) {
        super(message);
    }

    /**
     * @param message one sentence for the owner of the job
     * @param cause what it came from
     */
    public ConversionException(String message, Throwable cause) {
        super(message, cause);
    }
}
