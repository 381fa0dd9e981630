//! Notices on their way out: templates, email, SMS and webhook.
