//! TensorBoard's event files: scalars in protocol buffers in the framing of TFRecord
//!
//! ```text
//! record   length, u64 | mask(crc32c(length)), u32 | data | mask(crc32c(data)), u32        little-endian
//! mask(c)  ((c >> 15) | (c << 17)) + 0xa282ead8
//! Event    1: wall_time, double   2: step, int64   3: file_version, string   5: Summary
//! Summary  1: Value { 1: tag, string   2: simple_value, float }
//! ```

/// The record that begins a file.
pub fn version(time: f64) -> Vec<u8> {
    let mut event = double(1, time);
    event.extend(bytes(3, b"brain.Event:2"));
    record(&event)
}

/// One record with the values of a step.
pub fn scalars(time: f64, step: u64, values: &[(String, f64)]) -> Vec<u8> {
    let mut summary = vec![];
    for (tag, value) in values {
        let mut entry = bytes(1, tag.as_bytes());
        entry.push(2 << 3 | 5);
        entry.extend((*value as f32).to_le_bytes());
        summary.extend(bytes(1, &entry));
    }
    let mut event = double(1, time);
    event.push(2 << 3);
    event.extend(varint(step));
    event.extend(bytes(5, &summary));
    record(&event)
}

fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut out = length.to_vec();
    out.extend(masked(&length));
    out.extend(data);
    out.extend(masked(data));
    out
}

fn masked(data: &[u8]) -> [u8; 4] {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

fn double(field: u8, value: f64) -> Vec<u8> {
    let mut out = vec![field << 3 | 1];
    out.extend(value.to_le_bytes());
    out
}

fn bytes(field: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![field << 3 | 2];
    out.extend(varint(value.len() as u64));
    out.extend(value);
    out
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = vec![];
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_framed_as_tensorboard_writes_it() {
        // The first record of a file that TensorBoard's own writer made at time 1.0.
        let made = version(1.0);
        assert_eq!(made[..8], 24u64.to_le_bytes());
        assert_eq!(made[8..12], masked(&made[..8]));
        assert_eq!(&made[12..21], [9, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
        assert_eq!(&made[21..36], b"\x1a\x0dbrain.Event:2");
        assert_eq!(made.len(), 12 + 24 + 4);
        // CRC-32C of "123456789" is the check value of its definition; masked as the framing asks.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(varint(300), [0xac, 2]);
    }
}
