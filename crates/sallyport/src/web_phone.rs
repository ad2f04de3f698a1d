//! The web phone: a page that registers over WebSocket (RFC 7118), calls and is called. It is plain HTML, CSS and JavaScript,
//! built into the program, and loads nothing from elsewhere.

/// Every file of it.
pub(crate) const FILES: [File; 9] = [
    File::new("/", "text/html; charset=utf-8", include_str!("web_phone/index.html")),
    File::new("/phone.css", "text/css; charset=utf-8", include_str!("web_phone/phone.css")),
    File::new("/icon.svg", "image/svg+xml", include_str!("web_phone/icon.svg")),
    File::new("/phone.js", JAVASCRIPT, include_str!("web_phone/phone.js")),
    File::new("/sip.js", JAVASCRIPT, include_str!("web_phone/sip.js")),
    File::new("/call.js", JAVASCRIPT, include_str!("web_phone/call.js")),
    File::new("/message.js", JAVASCRIPT, include_str!("web_phone/message.js")),
    File::new("/digest.js", JAVASCRIPT, include_str!("web_phone/digest.js")),
    File::new("/facts.js", JAVASCRIPT, include_str!("web_phone/facts.js")),
];

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// What is served under one path.
pub(crate) struct File {
    pub(crate) path: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) text: &'static str,
}

impl File {
    const fn new(path: &'static str, content_type: &'static str, text: &'static str) -> Self {
        Self { path, content_type, text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
        text.split(before).skip(1).filter_map(|rest| rest.split('"').next())
    }

    #[test]
    fn every_file_that_a_file_names_is_served_and_none_is_from_elsewhere() {
        for file in &FILES {
            let named = ["href=\"", "src=\"", "from \"."].into_iter().flat_map(|before| values(file.text, before));
            for name in named {
                assert!(FILES.iter().any(|other| other.path == name), "{} names {name}", file.path);
            }
            // The name of a namespace is no address.
            let text = file.text.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("url("), "{}", file.path);
        }
    }

    // A browser runs no module, and takes no style, of another type.
    #[test]
    fn the_type_of_every_file_is_that_of_its_name() {
        for file in &FILES {
            let name = file.path.rsplit('.').next().unwrap_or_default();
            let kind = match name {
                "js" => "text/javascript",
                "css" => "text/css",
                "svg" => "image/svg+xml",
                _ => "text/html",
            };
            assert_eq!(file.content_type.split(';').next(), Some(kind), "{}", file.path);
        }
    }

    #[test]
    fn no_script_and_no_style_stands_in_the_page_so_that_the_policy_can_forbid_both() {
        let page = FILES[0].text;
        assert_eq!(page.matches("<script").count(), page.matches("<script type=\"module\" src=\"").count());
        assert!(!page.contains("<style") && !page.contains("style=\""));
        assert!(!page.split_ascii_whitespace().any(|word| word.starts_with("on") && word.contains('=')));
    }

    #[test]
    fn every_element_that_the_script_looks_for_is_in_the_page_once() {
        let page = FILES[0].text;
        for name in ["element(\"", "show(\""].into_iter().flat_map(|before| values(FILES[3].text, before)) {
            assert_eq!(page.matches(&format!(" id=\"{name}\"")).count(), 1, "{name}");
        }
    }

    #[test]
    fn every_field_has_a_label() {
        let page = FILES[0].text;
        for id in page.split("<input ").skip(1).filter_map(|rest| values(rest, "id=\"").next()) {
            assert!(page.contains(&format!("for=\"{id}\"")), "{id}");
        }
    }
}
