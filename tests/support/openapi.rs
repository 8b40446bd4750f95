//! docs/openapi.json, against which every answer of the API is judged that a suite gets: status,
//! type, body, and the code of a refusal; and whether what was asked is what the file takes.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Map, Value, json};
use throughline::protocol::error::ErrorCode;

use super::http::{Request, Response};

/// The file.
pub static API: LazyLock<Api> = LazyLock::new(Api::read);

/// Judges an answer of `/api`; others pass.
pub fn judge(request: &Request, answer: &Response) {
    if request.target().starts_with("/api/")
        && let Err(wrong) = API.judge(request, answer)
    {
        panic!("{} {}: {wrong}: {}", request.method(), request.target(), answer.text());
    }
}

/// What is wrong.
type Wrong = String;

/// What the file says.
pub struct Api {
    /// One for each method of each path.
    pub operations: Vec<Operation>,
    refusal: Validator,
}

/// A method of a path.
pub struct Operation {
    /// In capitals.
    pub method: String,
    /// With names in braces: `/api/users/{user}/sessions`.
    pub path: String,
    /// As the file has it.
    pub said: Value,
    body: Option<Validator>,
    parameters: Validator,
    answer: Validator,
}

impl Api {
    fn read() -> Self {
        let file: Value =
            serde_json::from_str(include_str!("../../docs/openapi.json")).expect("JSON");
        let mut closed = file.clone();
        close(&mut closed);
        let mut operations = Vec::new();
        for (path, methods) in file["paths"].as_object().expect("paths") {
            for (method, said) in methods.as_object().expect("methods") {
                let at = format!("/paths/{}/{method}", path.replace('/', "~1"));
                let body = at.clone() + "/requestBody/content/application~1json/schema";
                let answer = at + "/responses/200/content/application~1json/schema";
                operations.push(Operation {
                    method: method.to_ascii_uppercase(),
                    path: path.clone(),
                    said: said.clone(),
                    body: file.pointer(&body).map(|_| validator(&file, &body)),
                    parameters: parameters(&file, &said["parameters"]),
                    answer: validator(&closed, &answer),
                });
            }
        }
        Self { operations, refusal: validator(&closed, "/components/schemas/Refusal") }
    }

    /// The methods and paths that there are.
    pub fn routes(&self) -> BTreeSet<(String, String)> {
        self.operations.iter().map(|one| (one.method.clone(), one.path.clone())).collect()
    }

    fn judge(&self, request: &Request, answer: &Response) -> Result<(), Wrong> {
        let there: Vec<_> =
            self.operations.iter().filter(|one| one.matches(request.path()).is_some()).collect();
        let operation = there.iter().find(|one| one.method == request.method());
        if answer.header("content-type") != Some("application/json") {
            return Err("not JSON".to_owned());
        }
        let code = (answer.status != 200).then(|| self.refused(answer)).transpose()?;
        match (operation, code) {
            (_, Some(ErrorCode::Unauthorized)) => Ok(()),
            (None, Some(ErrorCode::NotFound)) if there.is_empty() => Ok(()),
            (None, Some(ErrorCode::BadMethod)) if !there.is_empty() => Ok(()),
            (None, _) => Err("the file has no such operation".to_owned()),
            (Some(_), Some(ErrorCode::NotFound | ErrorCode::BadMethod)) => {
                Err("the file has this operation".to_owned())
            }
            (Some(operation), Some(ErrorCode::BadRequest)) => match operation.takes(request) {
                Ok(()) => Err("the file takes what is called unreadable".to_owned()),
                Err(_) => Ok(()),
            },
            (Some(_), Some(_)) => Ok(()),
            (Some(operation), None) => {
                operation
                    .takes(request)
                    .map_err(|wrong| format!("the file refuses it: {wrong}"))?;
                valid(&operation.answer, &answer.json())
            }
        }
    }

    /// The code of a refusal, which is as the table of errors has it.
    fn refused(&self, answer: &Response) -> Result<ErrorCode, Wrong> {
        let body = answer.json();
        valid(&self.refusal, &body)?;
        let code = ErrorCode::ALL.iter().find(|code| body["code"] == code.as_str());
        let code = *code.ok_or("no code of the table")?;
        if code.row().http != answer.status {
            return Err(format!("status {} is not that of the code", answer.status));
        }
        let after = body["retry_ms"].as_u64().map(|ms| ms.div_ceil(1000).to_string());
        if answer.header("retry-after") != after.as_deref() {
            return Err("Retry-After is not that of retry_ms".to_owned());
        }
        Ok(code)
    }
}

impl Operation {
    /// What stands for the names in braces, if this path is of this form.
    fn matches<'a>(&'a self, path: &'a str) -> Option<Vec<(&'a str, &'a str)>> {
        let (form, path): (Vec<_>, Vec<_>) =
            (self.path.split('/').collect(), path.split('/').collect());
        if form.len() != path.len() {
            return None;
        }
        let mut names = Vec::new();
        for (form, part) in form.into_iter().zip(path) {
            match form.strip_prefix('{').and_then(|form| form.strip_suffix('}')) {
                Some(name) if !part.is_empty() => names.push((name, part)),
                _ if form == part => {}
                _ => return None,
            }
        }
        Some(names)
    }

    /// Whether the file takes this.
    pub fn takes(&self, request: &Request) -> Result<(), Wrong> {
        let mut given: Map<String, Value> = Map::new();
        let names = self.matches(request.path()).ok_or("another path")?;
        let asked = request.query().split('&').filter(|pair| !pair.is_empty());
        let asked = asked.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        for (name, value) in names.into_iter().chain(asked) {
            let number = value.parse::<i64>().ok().filter(|_| self.is_number(name));
            let value = number.map_or_else(|| json!(value), |number| json!(number));
            if given.insert(name.to_owned(), value).is_some() {
                return Err(format!("{name} twice"));
            }
        }
        valid(&self.parameters, &Value::Object(given))?;
        let Some(body) = &self.body else { return Ok(()) };
        let sent = serde_json::from_slice(request.body()).map_err(|error| error.to_string())?;
        valid(body, &sent)
    }

    fn is_number(&self, name: &str) -> bool {
        let all = self.said["parameters"].as_array().into_iter().flatten();
        all.filter(|one| one["name"] == name).any(|one| one["schema"]["type"] == "integer")
    }

    /// The request that the file has as its example.
    pub fn example(&self) -> Request {
        let (mut target, mut query) = (self.path.clone(), Vec::new());
        for one in self.said["parameters"].as_array().into_iter().flatten() {
            let Some(name) = one["name"].as_str() else { continue };
            let value = match &one["example"] {
                Value::Null => continue,
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            match one["in"].as_str() {
                Some("path") => target = target.replace(&format!("{{{name}}}"), &value),
                _ => query.push(format!("{name}={value}")),
            }
        }
        if !query.is_empty() {
            target = format!("{target}?{}", query.join("&"));
        }
        match &self.said["requestBody"]["content"]["application/json"]["example"] {
            Value::Null => Request::new(&self.method, &target),
            body => {
                Request::post(&target, body.to_string()).header("content-type", "application/json")
            }
        }
    }
}

fn valid(schema: &Validator, value: &Value) -> Result<(), Wrong> {
    schema.validate(value).map_err(|error| format!("{error} at {}", error.instance_path()))
}

/// The schema at this place of the file.
fn validator(file: &Value, at: &str) -> Validator {
    let mut schema = file.clone();
    // Braces do not stand in a fragment (RFC 3986 section 3.5).
    schema["$ref"] = json!(format!("#{}", at.replace('{', "%7B").replace('}', "%7D")));
    jsonschema::draft202012::new(&schema).unwrap_or_else(|error| panic!("{at}: {error}"))
}

/// A schema of all parameters together.
fn parameters(file: &Value, said: &Value) -> Validator {
    let all: Vec<_> = said.as_array().into_iter().flatten().collect();
    let name = |one: &&Value| one["name"].as_str().expect("a name").to_owned();
    let mut schema = file.clone();
    schema["type"] = json!("object");
    schema["additionalProperties"] = json!(false);
    schema["properties"] = all.iter().map(|one| (name(one), one["schema"].clone())).collect();
    schema["required"] = all.iter().filter(|one| one["required"] == true).map(name).collect();
    jsonschema::draft202012::new(&schema).unwrap_or_else(|error| panic!("{said}: {error}"))
}

/// An answer has no member that the file does not name, though a client must bear with one.
fn close(value: &mut Value) {
    match value {
        Value::Object(members) => {
            if members.get("type") == Some(&json!("object")) && members.contains_key("properties") {
                members.entry("additionalProperties").or_insert(json!(false));
            }
            members.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}
