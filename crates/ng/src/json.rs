//! JSON.

use crate::{Dictionary, Value, bencode};

/// Decodes one JSON value that fills `bytes`; the error names line and column. `null` members are left out, `true` and
/// `false` are 1 and 0, numbers that are not whole become strings.
pub fn decode(bytes: &[u8]) -> Result<Value, String> {
    // serde_json stops at 128 levels by itself; ours is lower.
    let json: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let mut values = 0;
    convert(json, 0, &mut values)
}

/// Encodes a value. Bytes that are not UTF-8 are replaced.
pub fn encode(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    encode_into(value, &mut out);
    out
}

fn convert(json: serde_json::Value, depth: usize, values: &mut usize) -> Result<Value, String> {
    *values += 1;
    if *values > bencode::MAX_VALUES {
        return Err(format!("more than {} values", bencode::MAX_VALUES));
    }
    if depth > bencode::MAX_DEPTH {
        return Err(format!("nested deeper than {}", bencode::MAX_DEPTH));
    }
    Ok(match json {
        serde_json::Value::Null => Value::String(Vec::new()),
        serde_json::Value::Bool(truth) => Value::Integer(i64::from(truth)),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(number) => Value::Integer(number),
            None => Value::string(number.to_string()),
        },
        serde_json::Value::String(text) => Value::String(text.into_bytes()),
        serde_json::Value::Array(array) => {
            Value::List(array.into_iter().map(|item| convert(item, depth + 1, values)).collect::<Result<_, _>>()?)
        }
        serde_json::Value::Object(object) => {
            let mut dictionary = Dictionary::new();
            for (key, item) in object.into_iter().filter(|(_, item)| !item.is_null()) {
                dictionary.insert(key, convert(item, depth + 1, values)?);
            }
            Value::Dictionary(dictionary)
        }
    })
}

fn encode_into(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Integer(number) => out.extend(number.to_string().bytes()),
        Value::String(bytes) => encode_string(bytes, out),
        Value::List(list) => {
            out.push(b'[');
            for (index, value) in list.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                encode_into(value, out);
            }
            out.push(b']');
        }
        Value::Dictionary(dictionary) => {
            out.push(b'{');
            for (index, (key, value)) in dictionary.0.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                encode_string(key, out);
                out.push(b':');
                encode_into(value, out);
            }
            out.push(b'}');
        }
    }
}

fn encode_string(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend(serde_json::Value::from(String::from_utf8_lossy(bytes)).to_string().bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_object_reads_as_a_dictionary() {
        let value = decode(br#"{"command":"offer","TOS":184,"flags":["a\r\n"],"x":null,"y":true,"z":1.5}"#).unwrap();
        let expected = Dictionary::new()
            .with("command", Value::string("offer"))
            .with("TOS", Value::Integer(184))
            .with("flags", Value::List(vec![Value::string("a\r\n")]))
            .with("y", Value::Integer(1))
            .with("z", Value::string("1.5"));
        let Value::Dictionary(dictionary) = value else { panic!() };
        assert_eq!(dictionary.0.len(), 5);
        for (key, value) in &expected.0 {
            assert_eq!(dictionary.find(key), Some(value));
        }
    }

    #[test]
    fn a_value_is_written_in_its_order_and_escaped() {
        let value = Dictionary::new()
            .with("sdp", Value::string("v=0\r\n\"\\"))
            .with("list", Value::List(vec![Value::Integer(-1), Value::string(b"\xff")]))
            .into();
        assert_eq!(
            String::from_utf8(encode(&value)).unwrap(),
            "{\"sdp\":\"v=0\\r\\n\\\"\\\\\",\"list\":[-1,\"\u{fffd}\"]}"
        );
    }

    #[test]
    fn errors_name_line_and_column() {
        assert_eq!(decode(b"{\"a\":}").unwrap_err(), "expected value at line 1 column 6");
        assert_eq!(decode(b"{} x").unwrap_err(), "trailing characters at line 1 column 4");
        let nested = [vec![b'['; 100], vec![b']'; 100]].concat();
        assert_eq!(decode(&nested).unwrap_err(), "nested deeper than 16");
        assert!(decode(&vec![b'['; 60_000]).unwrap_err().starts_with("recursion limit exceeded"));
        let many = format!("[{}0]", "0,".repeat(bencode::MAX_VALUES));
        assert_eq!(decode(many.as_bytes()).unwrap_err(), "more than 8192 values");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = decode(&bytes);
        }
    }
}
