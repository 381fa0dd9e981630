//! What users read, whole: each notice in each language, and what hostile texts make of it.

use serde_json::json;

use super::config::NoticesConfig;
use super::samples::{self, Sample};
use super::template::Templates;
use crate::detect::document::GeoDocument;
use crate::report::Problem;

fn templates() -> Templates {
    Templates::load(&NoticesConfig::default()).expect("the compiled-in notices obey the rules")
}

/// A sample as it would come from life.
fn usual(notice: &str, locale: &str) -> Sample {
    let mut sample = samples::all().into_iter().next().expect("a sample");
    let event = match notice {
        "unusual-login" => json!({"type": "login", "result": "success", "device": "dev-77", "platform": "android"}),
        _ => {
            json!({"type": "transfer", "status": "completed", "amount": "12000.00", "currency": "CNY", "payee": "13800138000",
                    "device": "0b8a3c52-77aa-4b9c-9d5e-3a5f0c11d2ef", "platform": "ios"})
        }
    };
    sample.alert.event = serde_json::from_value(event).expect("an object");
    sample.alert.notice = notice.to_owned();
    sample.alert.time = "2026-11-22T03:09:00.000Z".to_owned();
    sample.alert.geo =
        GeoDocument { country: Some("NG".to_owned()), city: Some("Lagos".to_owned()), ..GeoDocument::default() };
    sample.contact.locale = Some(locale.to_owned());
    sample.contact.zone = Some("Asia/Shanghai".to_owned());
    sample.contact.anti_phishing = Some(if locale == "en" { "blue heron" } else { "蓝色的鹭" }.to_owned());
    sample
}

#[test]
fn each_notice_reads_well_in_each_language() {
    let templates = templates();
    for notice in ["unusual-login", "unusual-payment"] {
        for locale in ["en", "zh-CN"] {
            let texts = templates.render(&usual(notice, locale).order()).expect("renders");
            let name = format!("{notice}.{locale}");
            let plain = format!("Subject: {}\n\n{}\n--- SMS ---\n{}", texts.subject, texts.text, texts.sms);
            insta::assert_snapshot!(name.clone(), plain);
            insta::assert_snapshot!(format!("{name}.html"), texts.html);
        }
    }
}

#[test]
fn every_kind_with_nothing_known_still_makes_sense() {
    let templates = templates();
    let mut told = Vec::new();
    for mut sample in samples::all().into_iter().filter(|s| s.name == "nothing known") {
        let is_login = !sample.alert.event.contains_key("status")
            && !matches!(sample.alert.event["type"].as_str(), Some("transfer" | "payment" | "withdrawal" | "top_up"));
        sample.alert.notice = if is_login { "unusual-login" } else { "unusual-payment" }.to_owned();
        for locale in ["en", "zh-CN"] {
            sample.contact.locale = Some(locale.to_owned());
            let texts = templates.render(&sample.order()).expect("renders");
            told.push(format!(
                "## {}\n# {}\n{}",
                serde_json::to_string(&sample.alert.event).expect("JSON"),
                texts.subject,
                texts.sms
            ));
        }
    }
    insta::assert_snapshot!(told.join("\n\n"));
}

#[test]
fn hostile_texts_come_out_harmless() {
    let templates = templates();
    let mut told = Vec::new();
    let huge = "A".repeat(1_000_000);
    let hostile = [
        "x\r\nBcc: everybody@evil.example\r\n\r\n<html>",
        "\u{202e}txt.exe\u{202c}\u{2066}\0\u{7}",
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "{{ 7*7 }}{% for x in range(99999) %}x{% endfor %}",
        "https://evil.example/login",
        "请拨打 +86 138 0013 8000",
        "please reply with your code",
        "evil．example",
        huge.as_str(),
    ];
    for text in hostile {
        let mut sample = usual("unusual-payment", "en");
        for field in
            ["device", "payee", "merchant", "platform", "status", "amount", "currency", "zone", "locale", "type"]
        {
            sample.alert.event.insert(field.to_owned(), text.into());
        }
        sample.alert.geo.city = Some(text.to_owned());
        sample.alert.geo.country = Some(text.to_owned());
        sample.alert.time = text.to_owned();
        sample.contact.anti_phishing = Some(text.to_owned());
        sample.contact.zone = Some(text.to_owned());
        sample.contact.locale = Some(text.to_owned());
        let texts = templates.render(&sample.order()).expect("renders");
        assert!(texts.html.len() < 8_000 && texts.text.len() < 2_000);
        let shown = text.chars().take(60).collect::<String>();
        told.push(format!("## {shown:?}\nSubject: {}\n{}SMS: {}", texts.subject, texts.text, texts.sms));
        let visible: Vec<&str> =
            texts.html.lines().filter(|l| l.contains("<br>") || l.contains("ink phrase")).collect();
        told.push(visible.join("\n"));
    }
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn the_language_is_the_users_or_the_nearest() {
    let templates = templates();
    let locale = |of_contact: Option<&str>, of_event: Option<&str>| {
        let mut sample = usual("unusual-login", "en");
        sample.contact.locale = of_contact.map(str::to_owned);
        if let Some(locale) = of_event {
            sample.alert.event.insert("locale".to_owned(), locale.into());
        }
        templates.render(&sample.order()).expect("renders").locale
    };
    assert_eq!(locale(Some("zh-CN"), Some("en")), "zh-CN");
    assert_eq!(locale(Some("zh"), None), "zh-CN");
    assert_eq!(locale(Some("zh_Hans_CN"), None), "zh-CN");
    assert_eq!(locale(Some("en-GB"), None), "en");
    assert_eq!(locale(Some("fr"), Some("zh-CN")), "zh-CN");
    assert_eq!(locale(None, None), "en");
}

#[test]
fn every_mistake_in_a_folder_of_notices_is_told_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(path, text).expect("written");
    };
    let load = || {
        let config = NoticesConfig { directory: Some(folder.path().to_owned()), ..NoticesConfig::default() };
        let problems = Templates::load(&config).map(|_| ()).expect_err("problems");
        let told: Vec<String> = problems.iter().map(|p| described(p, folder.path())).collect();
        told.join("\n")
    };
    write("new-payee/en.subject.txt", "New payee");
    write("unusual-login/en.body.tx", "x");
    write("unusual-login/zh-CN.subject.txt", "{% if %}");
    let broken = load();
    std::fs::remove_dir_all(folder.path().join("new-payee")).expect("removed");
    std::fs::remove_file(folder.path().join("unusual-login/en.body.tx")).expect("removed");
    write("unusual-login/zh-CN.subject.txt", "登录\n提醒");
    write("unusual-login/zh-CN.body.txt", "请回复验证码");
    write("unusual-login/zh-CN.sms.txt", &"很长".repeat(100));
    write("unusual-login/en.subject.txt", "Go to wallet.example");
    write("unusual-payment/en.body.html", "<p>Hello <a href=\"x\">you</a></p>");
    write("unusual-payment/en.body.txt", "Call 020 7946 0958");
    write("unusual-payment/zh-CN.body.txt", "{{ score }}");
    write("unusual-payment/zh-CN.subject.txt", "{{ payee }}");
    write(
        "unusual-payment/en.sms.txt",
        "{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}",
    );
    insta::assert_snapshot!(format!("{broken}\n---\n{}", load()));
}

#[test]
fn a_folder_may_bring_a_frame_or_whole_texts_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(path, text).expect("written");
    };
    let config = NoticesConfig { directory: Some(folder.path().to_owned()), ..NoticesConfig::default() };
    let html = |notice: &str| {
        let templates = Templates::load(&config).expect("obeys the rules");
        templates.render(&usual(notice, "en").order()).expect("renders").html
    };
    write("base.html", "<p>Ours: {% block heading %}{% endblock %} {{ rows[0][0] }}</p>");
    write("unusual-payment/en.body.html", "<p>All our own, {{ case }}</p>");
    write("README.md", "Our notices, see https://wiki.example");
    assert_eq!(
        html("unusual-login"),
        "<p>Ours: There was a sign-in to your wallet account that is not like your usual ones. When</p>"
    );
    assert_eq!(html("unusual-payment"), "<p>All our own, WW-7F3K-92S</p>");
    let told = || {
        let problems = Templates::load(&config).map(|_| ()).expect_err("problems");
        problems.iter().map(|p| described(p, folder.path())).collect::<Vec<_>>()
    };
    write("base.html", "<p>{{ rows[0][0] }}</p>\n<p>Go to wallet.example</p>");
    write("frame.html", "x");
    let told = told();
    let (of_frame, of_base): (Vec<_>, Vec<_>) = told.iter().partition(|t| t.starts_with("N013"));
    assert!(matches!(of_frame.as_slice(), [t] if t.contains("frame.html is not in the folder")), "{told:#?}");
    let is_told = |t: &&String| t.starts_with("notices/base.html:2 [wallet.example]");
    assert!(!of_base.is_empty() && of_base.iter().all(is_told), "{told:#?}");
}

fn described(problem: &Problem, folder: &std::path::Path) -> String {
    let at = problem.at.as_ref().map_or_else(String::new, |(file, span)| {
        let line = file.text[..span.start].lines().count().max(1);
        format!("{}:{line} [{}] ", file.path, &file.text[span.clone()])
    });
    let help = problem.help.as_deref().unwrap_or_default();
    format!("{at}{problem} ({help})").replace(&folder.display().to_string(), "notices")
}
