//! Scale-in protection of the ECS task that this process runs in.
//!
//! A service that scales in stops any of its tasks, also one in the middle of a conversion. A task
//! protects itself while it works, by the endpoint of the ECS agent (Amazon ECS Developer Guide,
//! "Task scale-in protection endpoint"); the task role needs `ecs:GetTaskProtection` and
//! `ecs:UpdateTaskProtection`. Tasks that do not belong to a service cannot be protected, and
//! nothing scales them in.

use cadmill_core::ports::{PortError, PortResult};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::fmt;
use std::time::Duration;

/// The variable in which ECS names the endpoint of its agent.
pub const VARIABLE: &str = "ECS_AGENT_URI";

/// Timeout of a request: the agent is on this machine, and calls ECS.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Longest reply that is read, in bytes.
const MAX_REPLY: usize = 64 << 10;

const OPERATION: &str = "protecting the task from scale-in";

/// The agent of the task's container instance.
#[derive(Clone)]
pub struct TaskProtection {
    uri: Uri,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// The URI names the task and is sufficient to act for it.
impl fmt::Debug for TaskProtection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TaskProtection(…)")
    }
}

impl TaskProtection {
    /// The agent at this base URI, the value of [`VARIABLE`].
    ///
    /// # Errors
    /// [`PortError::Refused`] if it is not an `http` URI.
    pub fn new(agent: &str) -> PortResult<Self> {
        let uri = format!("{}/task-protection/v1/state", agent.trim_end_matches('/'));
        let uri: Option<Uri> = uri.parse().ok();
        let uri = uri.filter(|uri| uri.scheme_str() == Some("http") && uri.authority().is_some());
        let uri = uri.ok_or_else(|| refused("ECS_AGENT_URI is not an http URI"))?;
        Ok(Self { uri, client: Client::builder(TokioExecutor::new()).build_http() })
    }

    /// Protects the task for this many minutes from now (1 to 2880), or ends its protection.
    ///
    /// # Errors
    /// [`PortError::Refused`] with the agent's code if ECS refuses, for example `TaskNotValid` for
    /// a task without a service; [`PortError::Unavailable`] if there is no usable reply.
    pub async fn set(&self, minutes: Option<u32>) -> PortResult<()> {
        let body = match minutes {
            Some(minutes) => {
                serde_json::json!({"ProtectionEnabled": true, "ExpiresInMinutes": minutes.clamp(1, 2880)})
            }
            None => serde_json::json!({"ProtectionEnabled": false}),
        };
        let request = Request::builder()
            .method(Method::PUT)
            .uri(self.uri.clone())
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.to_string())))
            .map_err(|_| refused("the request cannot be made"))?;
        let call = async {
            let reply = self.client.request(request).await.map_err(|_| unavailable("no connection"))?;
            let status = reply.status();
            let body = Limited::new(reply.into_body(), MAX_REPLY).collect().await;
            Ok((status, body.map_err(|_| unavailable("the reply is incomplete"))?.to_bytes()))
        };
        let called = tokio::time::timeout(TIMEOUT, call).await;
        let (status, body) = called.map_err(|_| unavailable("time-out"))??;
        let reply: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let enabled = reply["protection"]["ProtectionEnabled"].as_bool();
        if status.is_success() && enabled == Some(minutes.is_some()) {
            return Ok(());
        }
        let code = reply["failure"]["Reason"].as_str().or(reply["error"]["Code"].as_str());
        let code: String =
            code.unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).take(64).collect();
        match (status.as_u16(), code.is_empty()) {
            (500.. | 429, true) => Err(unavailable(&format!("status {}", status.as_u16()))),
            (500.. | 429, false) => Err(unavailable(&code)),
            (_, true) => Err(refused(&format!("status {}", status.as_u16()))),
            (_, false) => Err(refused(&code)),
        }
    }
}

fn refused(reason: &str) -> PortError {
    PortError::Refused { operation: OPERATION, reason: reason.to_owned() }
}

fn unavailable(reason: &str) -> PortError {
    PortError::Unavailable { operation: OPERATION, reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// Answers one request with this status and body; returns the agent's URI, and the request.
    fn agent(status: u16, reply: &'static str) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let uri = format!("http://{}/api/task-1/", listener.local_addr().unwrap());
        let request = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut request, mut buffer) = (String::new(), [0; 4096]);
            while !request.ends_with('}') {
                let count = stream.read(&mut buffer).unwrap();
                assert!(count > 0, "{request}");
                request.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
            }
            write!(stream, "HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{reply}", reply.len()).unwrap();
            request
        });
        (uri, request)
    }

    #[tokio::test]
    async fn a_task_is_protected_and_released() {
        for (minutes, body, reply) in [
            (
                Some(10),
                r#"{"ExpiresInMinutes":10,"ProtectionEnabled":true}"#,
                r#"{"protection":{"ExpirationDate":"2026-01-01T00:00:00Z","ProtectionEnabled":true,"TaskArn":"a"}}"#,
            ),
            (
                None,
                r#"{"ProtectionEnabled":false}"#,
                r#"{"protection":{"ProtectionEnabled":false,"TaskArn":"a"}}"#,
            ),
        ] {
            let (uri, request) = agent(200, reply);
            assert_eq!(TaskProtection::new(&uri).unwrap().set(minutes).await, Ok(()));
            let request = request.join().unwrap();
            assert!(
                request.starts_with("PUT /api/task-1/task-protection/v1/state HTTP/1.1\r\n"),
                "{request}"
            );
            assert!(request.ends_with(body), "{request}");
        }
    }

    #[tokio::test]
    async fn what_is_not_a_confirmation_is_an_error() {
        let rows = [
            (
                400,
                r#"{"failure":{"Arn":"arn:secret","Detail":"x","Reason":"TASK_NOT_VALID"}}"#,
                "TASKNOTVALID",
                true,
            ),
            (
                403,
                r#"{"error":{"Arn":"a","Code":"AccessDeniedException","Message":"x"}}"#,
                "AccessDeniedException",
                true,
            ),
            (
                500,
                r#"{"error":{"Arn":"a","Code":"ServerException","Message":"x"}}"#,
                "ServerException",
                false,
            ),
            (429, "", "status 429", false),
            (200, r#"{"failure":{"Arn":"a","Reason":"DEPLOYMENT_BLOCKED"}}"#, "DEPLOYMENTBLOCKED", true),
            (200, r#"{"protection":{"ProtectionEnabled":false,"TaskArn":"a"}}"#, "status 200", true),
        ];
        for (status, reply, reason, is_refused) in rows {
            let (uri, _request) = agent(status, reply);
            let error = TaskProtection::new(&uri).unwrap().set(Some(1)).await.unwrap_err();
            assert_eq!(matches!(error, PortError::Refused { .. }), is_refused, "{error:?}");
            assert!(error.to_string().contains(reason) && !error.to_string().contains("secret"), "{error}");
        }
        for bad in ["", "169.254.170.2", "https://169.254.170.2/api", "file:///etc"] {
            assert!(TaskProtection::new(bad).is_err(), "{bad}");
        }
    }
}
