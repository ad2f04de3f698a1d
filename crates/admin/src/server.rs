//! The routes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;

use crate::guard::Guard;
use crate::listener::{BoundedListener, Remote};
use crate::{Question, metrics};

/// Requests that are worked on at a time; the next ones get 503.
const MAX_REQUESTS: usize = 32;

/// A question that is not answered for this long is a 503.
const PATIENCE: Duration = Duration::from_secs(5);

/// Of `/ng`, as rtpengine's HTTP listener has it.
const NG_TYPE: &str = "application/x-rtpengine-ng";

/// Longest body of `/ng`.
const MAX_MESSAGE: usize = 2 << 20;

/// How to serve.
#[derive(Clone, Debug)]
pub struct Admin {
    /// Where questions go.
    pub questions: mpsc::Sender<Question>,
    /// Names under which the server may be asked, beside `localhost` and addresses. They may change while it serves.
    pub hosts: watch::Receiver<Vec<String>>,
}

/// Serves until `until` completes, and then ends what is under way.
pub async fn serve(
    listener: TcpListener,
    admin: Admin,
    until: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let router = router(&admin, listener.local_addr()?);
    let service = router.into_make_service_with_connect_info::<Remote>();
    axum::serve(BoundedListener::new(listener), service).with_graceful_shutdown(until).await
}

fn router(admin: &Admin, local: SocketAddr) -> Router {
    let gate = Arc::new(Gate { guard: Guard::new(local, admin.hosts.clone()), requests: Semaphore::new(MAX_REQUESTS) });
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readiness))
        .route("/calls", get(calls))
        // A Call-ID may contain a slash (RFC 3261 §25.1, `word`).
        .route("/calls/{*id}", get(call))
        .route(DRAIN, post(drain))
        .route(NG, post(ng_message).layer(DefaultBodyLimit::max(MAX_MESSAGE)))
        .fallback(async || (StatusCode::NOT_FOUND, "try /metrics, /healthz, /readyz, /calls\n"))
        .with_state(admin.questions.clone())
        .layer(middleware::from_fn_with_state(gate, admit))
}

struct Gate {
    guard: Guard,
    requests: Semaphore,
}

/// Ends the process when the last call has ended.
const DRAIN: &str = "/drain";

/// The ng protocol. Its content type is one that no page can make a browser send without asking first (CORS), which is
/// refused.
const NG: &str = "/ng";

/// What every request has to pass.
async fn admit(
    State(gate): State<Arc<Gate>>,
    ConnectInfo(Remote(remote)): ConnectInfo<Remote>,
    request: Request,
    next: Next,
) -> Response {
    // Paths that change something, and what is sent to them.
    let content = match request.uri().path() {
        DRAIN => Some("application/json"),
        NG => Some(NG_TYPE),
        _ => None,
    };
    let (allowed, is_allowed) = match content {
        Some(_) => ("POST", request.method() == Method::POST),
        None => ("GET, HEAD", matches!(*request.method(), Method::GET | Method::HEAD)),
    };
    let headers = request.headers();
    let mut response = if let Err(refusal) = gate.guard.check(headers) {
        refusal.into_response()
    } else if !is_allowed {
        (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, allowed)], format!("only {allowed}\n")).into_response()
    } else if let Some(refusal) = content.and_then(|content| gate.guard.check_change(headers, remote, content).err()) {
        refusal.into_response()
    } else if let Ok(_permit) = gate.requests.try_acquire() {
        next.run(request).await
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "too many requests at a time\n").into_response()
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn ng_message(State(questions): Questions, message: Bytes) -> Result<Response, Unanswered> {
    Ok(match ask(&questions, |back| Question::Ng(message.to_vec(), back)).await? {
        Some(reply) => ([(header::CONTENT_TYPE, NG_TYPE)], reply.to_vec()).into_response(),
        None => (StatusCode::BAD_REQUEST, "the body is no message: cookie, space, dictionary\n").into_response(),
    })
}

type Questions = State<mpsc::Sender<Question>>;

async fn metrics(State(questions): Questions) -> Result<Response, Unanswered> {
    let snapshot = ask(&questions, Question::Snapshot).await?;
    let text = metrics::print(&snapshot);
    Ok(([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response())
}

async fn readiness(State(questions): Questions) -> Result<Response, Unanswered> {
    let readiness = ask(&questions, Question::Readiness).await?;
    Ok(match readiness.missing.as_slice() {
        [] => "ready\n".into_response(),
        missing => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", missing.join(", "))).into_response(),
    })
}

async fn calls(State(questions): Questions) -> Result<Response, Unanswered> {
    Ok(Json(ask(&questions, Question::Calls).await?).into_response())
}

/// In JSON, or as text for whoever accepts that before JSON.
async fn call(State(questions): Questions, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Unanswered> {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let wants_text = accept.trim_start().starts_with("text/plain");
    Ok(match ask(&questions, |back| Question::Call(id, back)).await? {
        Some(call) if wants_text => call.text.into_response(),
        Some(call) => Json(call).into_response(),
        None => (StatusCode::NOT_FOUND, "no such call\n").into_response(),
    })
}

async fn drain(questions: Questions) -> Result<Response, Unanswered> {
    Ok(Json(ask(&questions, Question::Drain).await?).into_response())
}

/// The rest of the process did not answer.
struct Unanswered;

impl IntoResponse for Unanswered {
    fn into_response(self) -> Response {
        (StatusCode::SERVICE_UNAVAILABLE, "the session does not answer\n").into_response()
    }
}

async fn ask<T>(
    questions: &mpsc::Sender<Question>,
    question: impl FnOnce(oneshot::Sender<T>) -> Question,
) -> Result<T, Unanswered> {
    let (back, answer) = oneshot::channel();
    let exchange = async {
        questions.send(question(back)).await.ok()?;
        answer.await.ok()
    };
    timeout(PATIENCE, exchange).await.ok().flatten().ok_or(Unanswered)
}
