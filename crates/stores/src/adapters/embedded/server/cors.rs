//! CORS: which pages may use presigned requests in a browser (the Fetch standard, "CORS
//! protocol"). Only the origin of the page is checked here; the request itself is authenticated
//! by its signature.

use super::access::may_be_own;
use crate::connections::{Inward, Seat};
use hyper::header::{self, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use s3s::service::S3Service;
use s3s::{Body, HttpError, HttpResponse};
use std::sync::Arc;

/// The allowed origins.
pub(super) struct Cors {
    origins: Vec<String>,
}

impl Cors {
    pub(super) fn new(origins: &[String]) -> Self {
        Self { origins: origins.to_vec() }
    }

    /// Answers a preflight; passes any other request to the service. Connections in the reserve
    /// get only requests served that may come from this installation's own processes.
    pub(super) async fn answer(
        &self,
        mut request: Request<Inward>,
        service: &S3Service,
        seat: &Arc<Seat>,
    ) -> Result<HttpResponse, HttpError> {
        let origin = self.allowed(request.headers());
        let asks = request.headers().get(header::ACCESS_CONTROL_REQUEST_METHOD).is_some();
        if *request.method() == Method::OPTIONS && asks {
            let mut response = Response::new(Body::empty());
            match origin {
                Some(origin) => allow(request.headers(), response.headers_mut(), origin),
                None => *response.status_mut() = StatusCode::FORBIDDEN,
            }
            return Ok(response);
        }
        let may_be_own = may_be_own(request.uri(), request.headers());
        let mut response = if seat.is_reserved() && !may_be_own {
            full()
        } else {
            request.extensions_mut().insert(seat.clone());
            service.call(request.map(Body::http_body)).await?
        };
        if let Some(origin) = origin {
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            // A page needs to read the ETags of parts.
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("ETag"));
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        Ok(response)
    }

    fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        self.origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()).then(|| origin.clone())
    }
}

/// The answer to a client beyond the limits. S3 clients retry after it.
fn full() -> HttpResponse {
    let body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>SlowDown</Code>\
                <Message>too many connections; try again</Message></Error>";
    let mut response = Response::new(Body::from(body.to_owned()));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn allow(asked: &HeaderMap, answer: &mut HeaderMap, origin: HeaderValue) {
    answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, PUT"));
    if let Some(names) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    answer.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    answer.insert(header::VARY, HeaderValue::from_static("Origin, Access-Control-Request-Headers"));
}
