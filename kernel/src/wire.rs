//! Jupyter's messages as they travel: signed, in the parts of a ZeroMQ message.
//!
//! <https://jupyter-client.readthedocs.io/en/stable/messaging.html#the-wire-protocol>

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use jupyter_protocol::{JupyterMessage, UnknownMessage};
use serde_json::{Value, json};
use sha2::Sha256;
use zeromq::ZmqMessage;

use crate::Result;

/// Stands between the addresses of those who are to get a message, and the message.
const DELIMITER: &[u8] = b"<IDS|MSG>";

/// Signs messages and checks signatures with the key of a connection file.
#[derive(Clone)]
pub struct Wire {
    /// None if the key is empty: then nobody signs.
    mac: Option<Hmac<Sha256>>,
}

impl Wire {
    pub fn new(key: &str) -> Wire {
        let mac = (!key.is_empty()).then(|| {
            Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("a key may have any length")
        });
        Wire { mac }
    }

    pub fn encode(&self, message: &JupyterMessage) -> Result<ZmqMessage> {
        let mut header = serde_json::to_value(&message.header)?;
        header["username"] = json!("kernel");
        let parent = match &message.parent_header {
            Some(parent) => serde_json::to_value(parent)?,
            None => json!({}),
        };
        let mut content = serde_json::to_value(&message.content)?;
        if let Value::Object(fields) = &mut content
            && fields.get("status") == Some(&json!("aborted"))
        {
            // A cell that has not run has no number; a client would show it.
            fields.remove("execution_count");
        }
        let body = [
            serde_json::to_vec(&header)?,
            serde_json::to_vec(&parent)?,
            serde_json::to_vec(&message.metadata)?,
            serde_json::to_vec(&content)?,
        ];
        let signature = match &self.mac {
            Some(mac) => {
                let mut mac = mac.clone();
                body.iter().for_each(|part| mac.update(part));
                hex::encode(mac.finalize().into_bytes())
            }
            None => String::new(),
        };
        let mut parts = message.zmq_identities.clone();
        parts.push(Bytes::from_static(DELIMITER));
        parts.push(signature.into());
        parts.extend(body.map(Bytes::from));
        ZmqMessage::try_from(parts).map_err(|_| "a message has no parts".into())
    }

    pub fn decode(&self, message: ZmqMessage) -> Result<JupyterMessage> {
        let mut parts = message.into_vec();
        let delimiter = parts.iter().position(|part| part == DELIMITER);
        let delimiter = delimiter.ok_or("it has no delimiter")?;
        let body = parts.split_off(delimiter + 1);
        parts.truncate(delimiter);
        let [signature, header, parent, metadata, content, buffers @ ..] = &body[..] else {
            return Err(format!("it has only {} parts", body.len()).into());
        };
        if let Some(mac) = &self.mac {
            let mut mac = mac.clone();
            for part in [header, parent, metadata, content] {
                mac.update(part);
            }
            mac.verify_slice(&hex::decode(signature)?)
                .map_err(|_| "its signature is wrong")?;
        }
        let read = |part: &Bytes| serde_json::from_slice::<Value>(part);
        let (mut header, mut content) = (read(header)?, read(content)?);
        add_defaults(&mut header, &mut content);
        let mut whole = json!({
            "header": header,
            "parent_header": read(parent)?,
            "metadata": read(metadata)?,
            "content": content,
        });
        let message = JupyterMessage::from_value(whole.clone()).or_else(|_| {
            // Who has sent it is to hear that it is not understood.
            let content = whole["content"].take();
            let msg_type = whole["header"]["msg_type"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            whole["header"]["msg_type"] = json!("unreadable");
            whole["content"] = json!({});
            JupyterMessage::from_value(whole).map(|mut message| {
                message.header.msg_type.clone_from(&msg_type);
                message.content = UnknownMessage { msg_type, content }.into();
                message
            })
        })?;
        Ok(message
            .with_zmq_identities(parts)
            .with_buffers(buffers.to_vec()))
    }
}

/// Fills in what clients may leave out, and some do.
fn add_defaults(header: &mut Value, content: &mut Value) {
    let is_silent = content["silent"] == true;
    let of_content = match header["msg_type"].as_str() {
        Some("execute_request") => json!({
            "silent": false,
            "store_history": !is_silent,
            "user_expressions": {},
            "allow_stdin": false,
            "stop_on_error": true,
        }),
        Some("complete_request" | "inspect_request") => {
            let characters = content["code"].as_str().unwrap_or_default().chars().count();
            json!({"cursor_pos": characters})
        }
        Some("history_request") => json!({
            "hist_access_type": "tail", "output": false, "raw": true, "n": 10,
            "start": 0, "stop": 0, "pattern": "*", "unique": false,
        }),
        Some("shutdown_request") => json!({"restart": false}),
        _ => json!({}),
    };
    let of_header = json!({"username": "", "session": "", "version": "5.3"});
    for (given, defaults) in [(header, of_header), (content, of_content)] {
        if let (Value::Object(given), Value::Object(defaults)) = (given, defaults) {
            for (name, value) in defaults {
                given.entry(name).or_insert(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jupyter_protocol::{JupyterMessageContent, KernelInfoRequest};

    use super::*;

    #[test]
    fn a_message_comes_out_as_it_went_in() {
        let sent = JupyterMessage::new(KernelInfoRequest {}, None)
            .with_zmq_identities(vec![Bytes::from_static(b"me")]);
        let wire = Wire::new("key");
        let came = wire.decode(wire.encode(&sent).unwrap()).unwrap();
        assert_eq!(came.header.msg_id, sent.header.msg_id);
        assert_eq!(came.zmq_identities, sent.zmq_identities);
        assert!(matches!(
            came.content,
            JupyterMessageContent::KernelInfoRequest(_)
        ));
    }

    #[test]
    fn what_a_client_leaves_out_is_filled_in() {
        let mut header = json!({"msg_type": "execute_request", "msg_id": "1"});
        let mut content = json!({"code": "1", "silent": true});
        add_defaults(&mut header, &mut content);
        let message =
            json!({"header": header, "parent_header": {}, "metadata": {}, "content": content});
        let message = JupyterMessage::from_value(message).unwrap();
        let JupyterMessageContent::ExecuteRequest(wanted) = message.content else {
            panic!("{message:?}");
        };
        assert!(wanted.silent && !wanted.store_history && wanted.stop_on_error);
    }

    #[test]
    fn a_wrong_signature_is_refused() {
        let message = JupyterMessage::new(KernelInfoRequest {}, None);
        let signed = Wire::new("key").encode(&message).unwrap();
        assert!(Wire::new("other").decode(signed.clone()).is_err());
        assert!(Wire::new("").decode(signed).is_ok());
    }
}
