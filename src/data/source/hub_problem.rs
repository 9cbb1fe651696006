//! Why a download from the hub failed, in words for people, and whether it is worth trying again

use hf_hub::api::sync::ApiError;
use std::io::ErrorKind;

/// Why an attempt failed, and what is to be done.
pub struct Problem {
    pub message: String,
    pub then: Then,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Then {
    Stop,
    Retry,
    /// What an earlier attempt has left does not fit.
    StartOver,
    WaitForOther,
}

impl Problem {
    pub fn stop(message: String) -> Self {
        Self { message, then: Then::Stop }
    }

    pub fn of(error: &ApiError) -> Self {
        match error {
            ApiError::LockAcquisition(_) => {
                Self { message: "another process is downloading it".into(), then: Then::WaitForOther }
            }
            ApiError::RequestError(request) => match **request {
                ureq::Error::StatusCode(code) => Self::of_status(code),
                ref other => Self {
                    message: format!("cannot be downloaded: {other}; is the machine connected?"),
                    then: Then::Retry,
                },
            },
            ApiError::InvalidResume => {
                Self { message: "more has come before than the server announces".into(), then: Then::StartOver }
            }
            ApiError::IoError(e)
                if matches!(
                    e.kind(),
                    ErrorKind::StorageFull | ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                let cache = hf_hub::Cache::from_env();
                Self::stop(format!(
                    "cannot be kept in {}: {e}; make room there, or set HF_HOME",
                    cache.path().display()
                ))
            }
            ApiError::IoError(e) => Self { message: format!("the download was cut off: {e}"), then: Then::Retry },
            ApiError::TooManyRetries(inner) => Self::of(inner),
            other => Self::stop(format!("cannot be downloaded: {other}")),
        }
    }

    fn of_status(code: u16) -> Self {
        let (what, then) = match code {
            401 => (
                "the hub wants to know who asks (401): set HF_TOKEN to a token of an account that may read it",
                Then::Stop,
            ),
            403 => {
                ("the hub refuses (403): HF_TOKEN's account may not read it, or has not accepted its terms", Then::Stop)
            }
            404 => ("there is no such file on the hub (404): check repository, path and revision", Then::Stop),
            // All of it is there, or more: nothing is left to ask for.
            416 => ("what an earlier attempt has left does not fit", Then::StartOver),
            429 => ("the hub has had too many requests (429)", Then::Retry),
            500.. => ("the hub has trouble of its own", Then::Retry),
            _ => ("the hub refuses", Then::Stop),
        };
        let message =
            if matches!(code, 401 | 403 | 404 | 429) { what.into() } else { format!("{what} (status {code})") };
        Self { message, then }
    }
}
