//! The closed lists of the event schema: one enum per field that takes one of a few words.
//!
//! Guarantees: a value's text is the one on the wire; `parse` accepts nothing else; `index` is the
//! number a compiled condition compares. Does not know which of its words one event type allows:
//! `fields.rs` says that.

/// What every closed list can do.
pub trait Closed: Copy + Eq + Sized + 'static {
    /// All words, in the order of their indices.
    const WORDS: &'static [&'static str];
    /// The value of a word, `None` for a word that is not in the list.
    fn parse(word: &str) -> Option<Self>;
    /// The word on the wire.
    fn word(self) -> &'static str;
    /// The place of the word in [`Closed::WORDS`].
    fn index(self) -> u8;
}

/// One enum per list: the variants, their words and the three functions stay in step because they
/// are written once.
macro_rules! closed_list {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "the words are the documentation")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl Closed for $name {
            const WORDS: &'static [&'static str] = &[$($word),+];
            fn parse(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
            fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
            fn index(self) -> u8 { self as u8 }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(self.word()) }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> { s.serialize_str(self.word()) }
        }
    };
}

closed_list! {
    /// What happened: the `type` of an event.
    EventType {
        Login = "login", Logout = "logout", Mfa = "mfa", PasswordReset = "password_reset",
        PasswordChanged = "password_changed", MfaChanged = "mfa_changed", LimitChanged = "limit_changed",
        ContactChanged = "contact_changed", SimChanged = "sim_changed", DeviceBound = "device_bound",
        DeviceRemoved = "device_removed", PayeeAdded = "payee_added", Lock = "lock",
        Transfer = "transfer", Payment = "payment", Withdrawal = "withdrawal", TopUp = "top_up",
        Report = "report", ServiceStatus = "service_status",
    }
}

closed_list! {
    /// `result` of a login (success, failure) or of a second factor (sent to timeout).
    Outcome { Success = "success", Failure = "failure", Sent = "sent", Denied = "denied", Timeout = "timeout" }
}

closed_list! {
    /// Why a login failed. `Other` stands for a reason that is absent or not in the list.
    Reason {
        WrongPassword = "wrong_password", UnknownAccount = "unknown_account", BadCredentials = "bad_credentials",
        MfaFailed = "mfa_failed", AccountLocked = "account_locked", AccountDisabled = "account_disabled",
        NetworkError = "network_error", AppOutdated = "app_outdated", AppError = "app_error",
        Maintenance = "maintenance", ServerError = "server_error", Timeout = "timeout",
        RateLimited = "rate_limited", SessionLimit = "session_limit", Blocked = "blocked", Other = "other",
    }
}

closed_list! {
    /// The class of a failed login's reason. Only `credential` counts as guessing.
    ReasonClass {
        Credential = "credential", Lock = "lock", Client = "client", Service = "service", Policy = "policy",
        Unknown = "unknown",
    }
}

impl Reason {
    /// The class this reason belongs to.
    pub fn class(self) -> ReasonClass {
        match self {
            Self::WrongPassword | Self::UnknownAccount | Self::BadCredentials | Self::MfaFailed => {
                ReasonClass::Credential
            }
            Self::AccountLocked | Self::AccountDisabled => ReasonClass::Lock,
            Self::NetworkError | Self::AppOutdated | Self::AppError => ReasonClass::Client,
            Self::Maintenance | Self::ServerError | Self::Timeout => ReasonClass::Service,
            Self::RateLimited | Self::SessionLimit | Self::Blocked => ReasonClass::Policy,
            Self::Other => ReasonClass::Unknown,
        }
    }
}

closed_list! {
    /// `method` of a login (password to sso) or of a second factor (sms to email).
    Method {
        Password = "password", Biometric = "biometric", Code = "code", Passkey = "passkey", Sso = "sso",
        Sms = "sms", Totp = "totp", Push = "push", Email = "email",
    }
}
closed_list! {
    /// Where the user acted.
    Channel { App = "app", Web = "web", Api = "api", CallCenter = "call_center" }
}
closed_list! {
    /// The verdict of another system.
    SourceRisk { Low = "low", Medium = "medium", High = "high" }
}
closed_list! {
    /// How the device was connected.
    Connection { Wifi = "wifi", Cellular = "cellular", Wired = "wired" }
}
closed_list! {
    /// Who acted.
    Actor { User = "user", System = "system", Support = "support" }
}
closed_list! {
    /// How far a password reset has come.
    Stage { Requested = "requested", CodeSent = "code_sent", CodeFailed = "code_failed", Completed = "completed" }
}
closed_list! {
    /// How a reset code travelled.
    Via { Email = "email", Sms = "sms", CallCenter = "call_center" }
}
closed_list! {
    /// `change` of a second factor (enabled to replaced) or of a lock (locked, unlocked).
    Change {
        Enabled = "enabled", Disabled = "disabled", Replaced = "replaced", Locked = "locked", Unlocked = "unlocked",
    }
}
closed_list! {
    /// Which contact changed.
    ContactField { Email = "email", Phone = "phone" }
}
closed_list! {
    /// How far a movement of money has come.
    Status { Requested = "requested", Completed = "completed", Declined = "declined" }
}
closed_list! {
    /// What somebody said of an alert or an event.
    Answer { Me = "me", NotMe = "not_me", Phishing = "phishing", Fraud = "fraud", Legitimate = "legitimate" }
}
closed_list! {
    /// The state of the service.
    ServiceState { Maintenance = "maintenance", Degraded = "degraded", Normal = "normal" }
}
closed_list! {
    /// The part of the service a status speaks of.
    Scope { Login = "login", Payment = "payment", All = "all" }
}
closed_list! {
    /// What kind of network an address belongs to: evidence, never a verdict.
    Network {
        Fixed = "fixed", Mobile = "mobile", CarrierNat = "carrier_nat", Business = "business", Hosting = "hosting",
        Vpn = "vpn", Tor = "tor", PublicProxy = "public_proxy", ResidentialProxy = "residential_proxy",
        Relay = "relay", Satellite = "satellite",
    }
}
pub(super) use closed_list;
