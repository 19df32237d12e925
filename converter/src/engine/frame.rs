//! Frames: messages on a pipe.
//!
//! A frame is a length (four bytes, little-endian) followed by that many bytes of JSON. Input is
//! untrusted: its size is bounded and it is decoded strictly.

use serde::{Serialize, de::DeserializeOwned};
use std::io::{self, Read, Write};

/// Longest frame, in bytes of JSON. A pipe holds 64 KiB, so a command never blocks the supervisor,
/// whatever the host does.
pub const MAX_FRAME: usize = 48 << 10;

/// Why a frame was refused.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Longer than [`MAX_FRAME`].
    #[error("a frame of {0} bytes is longer than {MAX_FRAME}")]
    TooLong(usize),
    /// Not the JSON of a message.
    #[error("malformed frame")]
    Malformed,
}

/// Encodes one frame.
///
/// # Errors
/// [`FrameError::TooLong`] if the message does not fit.
pub fn encode(message: &impl Serialize) -> Result<Vec<u8>, FrameError> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, message).map_err(|_| FrameError::Malformed)?;
    let length = bytes.len() - 4;
    if length > MAX_FRAME {
        return Err(FrameError::TooLong(length));
    }
    bytes[..4].copy_from_slice(&(length as u32).to_le_bytes());
    Ok(bytes)
}

/// Writes one frame.
///
/// # Errors
/// Errors of the writer, and `InvalidData` for a message that does not fit a frame.
pub fn send(writer: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let bytes = encode(message).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    writer.write_all(&bytes)
}

/// Reads one frame; `None` at the end of the stream.
///
/// # Errors
/// Errors of the reader, and `InvalidData` for an invalid frame.
pub fn receive<M: DeserializeOwned>(reader: &mut impl Read) -> io::Result<Option<M>> {
    let mut decoder = Decoder::default();
    let mut buffer = [0; 4096];
    // Never reads past the frame: the bytes after it belong to the next reader.
    loop {
        let missing = decoder.missing().min(buffer.len());
        match reader.read(&mut buffer[..missing]) {
            Ok(0) if decoder.is_empty() => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => decoder.push(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        match decoder.next() {
            Ok(None) => {}
            Ok(Some(message)) => return Ok(Some(message)),
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }
}

/// Splits a stream of bytes into messages, however the stream is split. Does no I/O and holds one
/// frame and one chunk at most.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
}

impl Decoder {
    /// Appends a chunk of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether no bytes are buffered.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Minimum number of bytes missing from the current frame, at least 1: the rest of its length
    /// field or of its content.
    fn missing(&self) -> usize {
        let whole = match self.buffer.first_chunk::<4>() {
            Some(head) => 4 + (u32::from_le_bytes(*head) as usize).min(MAX_FRAME),
            None => 4,
        };
        whole.saturating_sub(self.buffer.len()).max(1)
    }

    /// Returns the next complete message, if there is one.
    ///
    /// # Errors
    /// [`FrameError`]; the stream cannot be decoded any further after that.
    #[allow(clippy::should_implement_trait)]
    pub fn next<M: DeserializeOwned>(&mut self) -> Result<Option<M>, FrameError> {
        let Some((head, rest)) = self.buffer.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*head) as usize;
        if length > MAX_FRAME {
            return Err(FrameError::TooLong(length));
        }
        let Some(frame) = rest.get(..length) else { return Ok(None) };
        let message = serde_json::from_slice(frame).map_err(|_| FrameError::Malformed)?;
        self.buffer.drain(..4 + length);
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::protocol::{Answer, Command, Message, Task};
    use proptest::prelude::*;

    fn done(answer: Answer) -> Message {
        Message::Done { answer, peak_memory_bytes: 1 }
    }

    fn message() -> impl Strategy<Value = Message> {
        prop_oneof![
            // Fractions that JSON represents exactly.
            (0u32..=256).prop_map(|n| Message::Progress { fraction: f64::from(n) / 256.0 }),
            (any::<bool>(), ".{0,200}").prop_map(|(loss, line)| Message::Log { loss, line }),
            ".{0,200}".prop_map(|text| done(Answer::Rejected(text))),
            (any::<i32>(), any::<i32>(), any::<u64>())
                .prop_map(|(signal, errno, data_bytes)| Message::Dying { signal, errno, data_bytes }),
        ]
    }

    fn decode_in_pieces(stream: &[u8], piece: usize) -> Vec<Message> {
        let mut decoder = Decoder::default();
        let mut messages = Vec::new();
        for bytes in stream.chunks(piece) {
            decoder.push(bytes);
            while let Some(message) = decoder.next().unwrap() {
                messages.push(message);
            }
        }
        assert!(decoder.is_empty());
        messages
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_messages(sent in prop::collection::vec(message(), 0..8), piece in 1usize..300) {
            let stream: Vec<u8> = sent.iter().flat_map(|m| encode(m).unwrap()).collect();
            prop_assert_eq!(decode_in_pieces(&stream, piece), sent.clone());
            prop_assert_eq!(decode_in_pieces(&stream, 1), sent);
        }

        #[test]
        fn garbage_is_refused_or_waited_for(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut decoder = Decoder::default();
            decoder.push(&bytes);
            // It does not panic, and never returns more than was pushed.
            while let Ok(Some(_)) = decoder.next::<Message>() {}
        }
    }

    /// Returns one byte at a time, or as many as requested.
    struct Pipe(std::collections::VecDeque<u8>, bool);

    impl Read for Pipe {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = if self.1 { buffer.len().min(1) } else { buffer.len() };
            self.0.read(&mut buffer[..length])
        }
    }

    #[test]
    fn nothing_is_read_beyond_a_frame() {
        let messages = [Command::Cancel, Command::Go(Box::new(Task::Describe))];
        let stream: Vec<u8> = messages.iter().flat_map(|m| encode(m).unwrap()).collect();
        for slow in [false, true] {
            let mut pipe = Pipe(stream.iter().copied().collect(), slow);
            for (left, message) in [encode(&messages[1]).unwrap().len(), 0].into_iter().zip(&messages) {
                assert_eq!(receive::<Command>(&mut pipe).unwrap().as_ref(), Some(message));
                assert_eq!(pipe.0.len(), left);
            }
            assert!(receive::<Command>(&mut pipe).unwrap().is_none());
            pipe.0.extend([4, 0, 0]);
            let cut = receive::<Command>(&mut pipe).unwrap_err();
            assert_eq!(cut.kind(), io::ErrorKind::UnexpectedEof);
            pipe.0.extend((MAX_FRAME as u32 + 1).to_le_bytes());
            assert_eq!(receive::<Command>(&mut pipe).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn a_frame_at_the_limit_passes_and_one_byte_more_does_not() {
        let overhead = encode(&Command::Cancel).unwrap().len();
        assert!(overhead < 32);
        let text = |n: usize| done(Answer::Rejected("x".repeat(n)));
        let fixed = encode(&text(0)).unwrap().len() - 4;
        let bytes = encode(&text(MAX_FRAME - fixed)).unwrap();
        assert_eq!(decode_in_pieces(&bytes, 4096).len(), 1);
        assert!(matches!(encode(&text(MAX_FRAME - fixed + 1)), Err(FrameError::TooLong(_))));
        let mut decoder = Decoder::default();
        decoder.push(&(MAX_FRAME as u32 + 1).to_le_bytes());
        assert!(matches!(decoder.next::<Message>(), Err(FrameError::TooLong(_))));
    }
}
