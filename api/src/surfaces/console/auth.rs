//! Who calls: the session cookie, and for mutating calls that the call comes from our own pages (contract §1.2).

use axum::extract::{Request, State};
use axum::http::header::{COOKIE, HOST, ORIGIN, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use axum_extra::extract::cookie::{Cookie, SameSite};
use subtle::ConstantTimeEq as _;
use time::OffsetDateTime;

use super::X_CSRF_TOKEN;
use crate::app::App;
use crate::http::flat::FlatError;
use crate::session::{self, Session};

const SESSION_COOKIE: &str = "nl_session";
const CSRF_COOKIE: &str = "nl_csrf";

/// Resolves the session, checks CSRF and the rate, and lets a used session slide. Handlers find the [`Session`] in
/// the request's extensions.
pub async fn authenticate(
    State(app): State<App>,
    mut request: Request,
    next: Next,
) -> Result<Response, FlatError> {
    let headers = request.headers();
    let required = || FlatError::new(StatusCode::UNAUTHORIZED, "auth required");
    let token = cookie(headers, SESSION_COOKIE).ok_or_else(required)?;
    let session = app
        .sessions
        .resolve(&token)
        .await
        .map_err(|error| FlatError::failure(&*error, error.is_transient()))?
        .ok_or_else(required)?;
    let csrf = cookie(headers, CSRF_COOKIE);
    if !matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    ) {
        check_origin(headers, app.config.api.allowed_origins())?;
        check_csrf(
            headers,
            csrf.as_deref(),
            &session,
            app.config.api.csrf_header_required,
        )?;
    }
    app.rate.check(session.user_id)?;

    let slid = app.sessions.slide(&session).await?;
    let csrf = csrf.filter(|csrf| session::hash(csrf) == session.csrf_hash);
    request.extensions_mut().insert(session);
    let mut response = next.run(request).await;
    if let Some(expires_at) = slid {
        let secure = app.config.api.session_cookie_secure;
        set_cookie(
            &mut response,
            SESSION_COOKIE,
            token,
            true,
            secure,
            expires_at,
        );
        if let Some(csrf) = csrf {
            set_cookie(&mut response, CSRF_COOKIE, csrf, false, secure, expires_at);
        }
    }
    Ok(response)
}

/// The value of a cookie. Bytes, because other cookies of the same browser may hold anything.
fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|header| header.as_bytes().split(|byte| *byte == b';'))
        .filter_map(|pair| {
            pair.trim_ascii()
                .strip_prefix(name.as_bytes())?
                .strip_prefix(b"=")
        })
        .find_map(|value| {
            std::str::from_utf8(value)
                .ok()
                .filter(|value| !value.is_empty())
        })
        .map(str::to_owned)
}

fn set_cookie(
    response: &mut Response,
    name: &'static str,
    value: String,
    http_only: bool,
    secure: bool,
    expires_at: OffsetDateTime,
) {
    let cookie = Cookie::build((name, value))
        .path("/")
        .http_only(http_only)
        .secure(secure)
        .same_site(SameSite::Lax)
        .expires(expires_at);
    if let Ok(header) = HeaderValue::from_str(&cookie.to_string()) {
        response.headers_mut().append(SET_COOKIE, header);
    }
}

fn refused() -> FlatError {
    FlatError::new(StatusCode::FORBIDDEN, "csrf_invalid")
}

/// A page of a foreign site may not make the browser act with the user's cookies. Callers that are no browsers
/// send neither header.
fn check_origin<'a>(
    headers: &HeaderMap,
    mut allowed: impl Iterator<Item = &'a str>,
) -> Result<(), FlatError> {
    let text = |name: &str| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap_or_default())
    };
    if let Some(origin) = text(ORIGIN.as_str()) {
        let host = text(HOST.as_str()).unwrap_or_default();
        let own = origin
            .split_once("://")
            .is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host));
        return if own || allowed.any(|known| known.eq_ignore_ascii_case(origin)) {
            Ok(())
        } else {
            Err(refused())
        };
    }
    match text("sec-fetch-site") {
        None | Some("same-origin" | "none") => Ok(()),
        Some(_) => Err(refused()),
    }
}

/// The double submit, bound to the session so that a sibling domain that sets both cookies gains nothing. Checked
/// whenever the header is there; a setting makes it mandatory (contract §9 C3).
fn check_csrf(
    headers: &HeaderMap,
    cookie: Option<&str>,
    session: &Session,
    required: bool,
) -> Result<(), FlatError> {
    let header = headers.get(X_CSRF_TOKEN);
    if header.is_none() && !required {
        return Ok(());
    }
    let cookie = cookie.ok_or_else(|| FlatError::new(StatusCode::FORBIDDEN, "csrf_missing"))?;
    let header = header.ok_or_else(refused)?;
    let same = header.as_bytes().ct_eq(cookie.as_bytes())
        & session::hash(cookie).ct_eq(&session.csrf_hash);
    if bool::from(same) {
        Ok(())
    } else {
        Err(refused())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn only_our_own_pages_may_mutate() {
        let cases: [(&[(&str, &str)], bool); 10] = [
            (&[], true),
            (
                &[("host", "api.test"), ("origin", "https://api.test")],
                true,
            ),
            (
                &[("host", "api.test"), ("origin", "https://console.test")],
                true,
            ),
            (
                &[("host", "api.test"), ("origin", "https://evil.test")],
                false,
            ),
            (
                &[
                    ("host", "api.test"),
                    ("origin", "https://evil.test"),
                    ("sec-fetch-site", "same-origin"),
                ],
                false,
            ),
            (&[("host", "api.test"), ("origin", "null")], false),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "none")], true),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "same-site")], false),
        ];
        for (pairs, allowed) in cases {
            let pairs: Vec<(&'static str, &str)> = pairs.to_vec();
            let verdict = check_origin(&headers(&pairs), ["https://console.test"].into_iter());
            assert_eq!(verdict.is_ok(), allowed, "{pairs:?}");
        }
    }

    #[test]
    fn cookies_are_found_among_others() {
        let headers = headers(&[("cookie", "a=b; nl_session=tok=en; nl_csrf=")]);
        assert_eq!(cookie(&headers, SESSION_COOKIE).as_deref(), Some("tok=en"));
        assert_eq!(cookie(&headers, CSRF_COOKIE), None);
        let foreign = HeaderValue::from_bytes(b"theme=caf\xe9; nl_session=token").unwrap();
        let headers = HeaderMap::from_iter([(COOKIE, foreign)]);
        assert_eq!(cookie(&headers, SESSION_COOKIE).as_deref(), Some("token"));
    }
}
