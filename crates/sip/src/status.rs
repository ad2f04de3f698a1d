//! Status codes (RFC 3261 §21 and later registrations).

use std::fmt;

/// A three-digit status code, 100 to 699.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StatusCode(u16);

macro_rules! codes {
    ($($code:literal $name:ident $reason:literal;)*) => {
        impl StatusCode {
            $(#[doc = concat!(stringify!($code), " ", $reason)] pub const $name: Self = Self($code);)*

            /// The usual reason phrase; that of the class for a code without one of its own.
            pub fn reason(self) -> &'static str {
                match self.0 {
                    $($code => $reason,)*
                    100..200 => "Session Progress",
                    200..300 => "OK",
                    300..400 => "Multiple Choices",
                    400..500 => "Bad Request",
                    500..600 => "Server Internal Error",
                    _ => "Busy Everywhere",
                }
            }
        }
    };
}

codes! {
    100 TRYING "Trying";
    180 RINGING "Ringing";
    181 CALL_IS_BEING_FORWARDED "Call Is Being Forwarded";
    182 QUEUED "Queued";
    183 SESSION_PROGRESS "Session Progress";
    199 EARLY_DIALOG_TERMINATED "Early Dialog Terminated";
    200 OK "OK";
    202 ACCEPTED "Accepted";
    204 NO_NOTIFICATION "No Notification";
    300 MULTIPLE_CHOICES "Multiple Choices";
    301 MOVED_PERMANENTLY "Moved Permanently";
    302 MOVED_TEMPORARILY "Moved Temporarily";
    305 USE_PROXY "Use Proxy";
    380 ALTERNATIVE_SERVICE "Alternative Service";
    400 BAD_REQUEST "Bad Request";
    401 UNAUTHORIZED "Unauthorized";
    402 PAYMENT_REQUIRED "Payment Required";
    403 FORBIDDEN "Forbidden";
    404 NOT_FOUND "Not Found";
    405 METHOD_NOT_ALLOWED "Method Not Allowed";
    406 NOT_ACCEPTABLE "Not Acceptable";
    407 PROXY_AUTHENTICATION_REQUIRED "Proxy Authentication Required";
    408 REQUEST_TIMEOUT "Request Timeout";
    410 GONE "Gone";
    413 REQUEST_ENTITY_TOO_LARGE "Request Entity Too Large";
    414 REQUEST_URI_TOO_LONG "Request-URI Too Long";
    415 UNSUPPORTED_MEDIA_TYPE "Unsupported Media Type";
    416 UNSUPPORTED_URI_SCHEME "Unsupported URI Scheme";
    420 BAD_EXTENSION "Bad Extension";
    421 EXTENSION_REQUIRED "Extension Required";
    422 SESSION_INTERVAL_TOO_SMALL "Session Interval Too Small";
    423 INTERVAL_TOO_BRIEF "Interval Too Brief";
    428 USE_IDENTITY_HEADER "Use Identity Header";
    430 FLOW_FAILED "Flow Failed";
    436 BAD_IDENTITY_INFO "Bad Identity Info";
    438 INVALID_IDENTITY_HEADER "Invalid Identity Header";
    439 FIRST_HOP_LACKS_OUTBOUND_SUPPORT "First Hop Lacks Outbound Support";
    440 MAX_BREADTH_EXCEEDED "Max-Breadth Exceeded";
    469 BAD_INFO_PACKAGE "Bad Info Package";
    480 TEMPORARILY_UNAVAILABLE "Temporarily Unavailable";
    481 CALL_DOES_NOT_EXIST "Call/Transaction Does Not Exist";
    482 LOOP_DETECTED "Loop Detected";
    483 TOO_MANY_HOPS "Too Many Hops";
    484 ADDRESS_INCOMPLETE "Address Incomplete";
    485 AMBIGUOUS "Ambiguous";
    486 BUSY_HERE "Busy Here";
    487 REQUEST_TERMINATED "Request Terminated";
    488 NOT_ACCEPTABLE_HERE "Not Acceptable Here";
    489 BAD_EVENT "Bad Event";
    491 REQUEST_PENDING "Request Pending";
    493 UNDECIPHERABLE "Undecipherable";
    494 SECURITY_AGREEMENT_REQUIRED "Security Agreement Required";
    500 SERVER_INTERNAL_ERROR "Server Internal Error";
    501 NOT_IMPLEMENTED "Not Implemented";
    502 BAD_GATEWAY "Bad Gateway";
    503 SERVICE_UNAVAILABLE "Service Unavailable";
    504 SERVER_TIMEOUT "Server Time-out";
    505 VERSION_NOT_SUPPORTED "Version Not Supported";
    513 MESSAGE_TOO_LARGE "Message Too Large";
    580 PRECONDITION_FAILURE "Precondition Failure";
    600 BUSY_EVERYWHERE "Busy Everywhere";
    603 DECLINE "Decline";
    604 DOES_NOT_EXIST_ANYWHERE "Does Not Exist Anywhere";
    606 NOT_ACCEPTABLE_ANYWHERE "Not Acceptable";
    607 UNWANTED "Unwanted";
}

impl StatusCode {
    /// A code from 100 to 699.
    pub fn new(code: u16) -> Option<Self> {
        (100..700).contains(&code).then_some(Self(code))
    }

    /// The number.
    pub fn code(self) -> u16 {
        self.0
    }

    /// The first digit.
    pub fn class(self) -> u16 {
        self.0 / 100
    }

    /// 1xx.
    pub fn is_provisional(self) -> bool {
        self.class() == 1
    }

    /// 2xx.
    pub fn is_success(self) -> bool {
        self.class() == 2
    }

    /// Anything but 1xx.
    pub fn is_final(self) -> bool {
        !self.is_provisional()
    }
}

impl fmt::Display for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for StatusCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
