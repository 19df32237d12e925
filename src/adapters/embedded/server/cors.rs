//! What browsers ask before they let a page use presigned requests (the Fetch
//! standard, "CORS protocol"). Only that the page is of an allowed origin is judged
//! here; the request itself is judged by its signature.

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use s3s::service::S3Service;
use s3s::{Body, HttpError, HttpResponse};

/// The origins that may.
pub(super) struct Cors {
    origins: Vec<String>,
}

impl Cors {
    pub(super) fn new(origins: &[String]) -> Self {
        Self { origins: origins.to_vec() }
    }

    /// Answers a preflight here, anything else by the service.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        service: &S3Service,
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
        let mut response = service.call(request.map(Body::from)).await?;
        if let Some(origin) = origin {
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            // A page needs the ETags of parts.
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

fn allow(asked: &HeaderMap, answer: &mut HeaderMap, origin: HeaderValue) {
    answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, PUT"));
    if let Some(names) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    answer.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    answer.insert(header::VARY, HeaderValue::from_static("Origin, Access-Control-Request-Headers"));
}
