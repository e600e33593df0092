//! The messages of `openapi_v3.Document`.

use super::{Message, Shape, Test, bytes, field, named};
use serde_json::Value;

static STRINGS: Shape = Shape::List(&Shape::Text);
static REFERENCE: Message = Message { fields: &[("$ref", 1, &Shape::Text)], extensions: 0 };

static SCHEMA_OR_REFERENCE: Shape = Shape::OneOf(&[
    (Test::Has("$ref"), 2, &Shape::Message(&REFERENCE)),
    (Test::Otherwise, 1, &Shape::Message(&SCHEMA)),
]);

static SCHEMA: Message = Message {
    fields: &[
        ("uniqueItems", 20, &Shape::Flag),
        ("required", 23, &STRINGS),
        ("enum", 24, &Shape::List(&Shape::Any)),
        ("type", 25, &Shape::Text),
        ("allOf", 26, &Shape::List(&SCHEMA_OR_REFERENCE)),
        ("oneOf", 27, &Shape::List(&SCHEMA_OR_REFERENCE)),
        ("anyOf", 28, &Shape::List(&SCHEMA_OR_REFERENCE)),
        ("items", 30, &Shape::Wrapped(1, &SCHEMA_OR_REFERENCE)),
        ("properties", 31, &Shape::Map(1, &SCHEMA_OR_REFERENCE)),
        (
            "additionalProperties",
            32,
            &Shape::OneOf(&[(Test::Boolean, 2, &Shape::Flag), (Test::Otherwise, 1, &SCHEMA_OR_REFERENCE)]),
        ),
        // A default that is an object has no place in the message.
        (
            "default",
            33,
            &Shape::OneOf(&[
                (Test::Number, 1, &Shape::Double),
                (Test::Boolean, 2, &Shape::Flag),
                (Test::String, 3, &Shape::Text),
            ]),
        ),
        ("description", 34, &Shape::Text),
        ("format", 35, &Shape::Text),
    ],
    extensions: 36,
};

static PARAMETER: Message = Message {
    fields: &[
        ("name", 1, &Shape::Text),
        ("in", 2, &Shape::Text),
        ("description", 3, &Shape::Text),
        ("required", 4, &Shape::Flag),
        ("schema", 10, &SCHEMA_OR_REFERENCE),
    ],
    extensions: 14,
};

static PARAMETERS: Shape = Shape::List(&Shape::OneOf(&[(Test::Otherwise, 1, &Shape::Message(&PARAMETER))]));

static MEDIA_TYPE: Message = Message { fields: &[("schema", 1, &SCHEMA_OR_REFERENCE)], extensions: 5 };
static CONTENT: Shape = Shape::Map(1, &Shape::Message(&MEDIA_TYPE));

static RESPONSE: Message =
    Message { fields: &[("description", 1, &Shape::Text), ("content", 3, &CONTENT)], extensions: 5 };
static BODY: Message = Message {
    fields: &[("description", 1, &Shape::Text), ("content", 2, &CONTENT), ("required", 3, &Shape::Flag)],
    extensions: 4,
};

static OPERATION: Message = Message {
    fields: &[
        ("tags", 1, &STRINGS),
        ("description", 3, &Shape::Text),
        ("operationId", 5, &Shape::Text),
        ("parameters", 6, &PARAMETERS),
        ("requestBody", 7, &Shape::OneOf(&[(Test::Otherwise, 1, &Shape::Message(&BODY))])),
        ("responses", 8, &Shape::Map(2, &Shape::OneOf(&[(Test::Otherwise, 1, &Shape::Message(&RESPONSE))]))),
    ],
    extensions: 13,
};

static ITEM: Message = Message {
    fields: &[
        ("get", 4, &Shape::Message(&OPERATION)),
        ("put", 5, &Shape::Message(&OPERATION)),
        ("post", 6, &Shape::Message(&OPERATION)),
        ("delete", 7, &Shape::Message(&OPERATION)),
        ("options", 8, &Shape::Message(&OPERATION)),
        ("head", 9, &Shape::Message(&OPERATION)),
        ("patch", 10, &Shape::Message(&OPERATION)),
        ("parameters", 13, &PARAMETERS),
    ],
    extensions: 14,
};

static INFO: Message = Message { fields: &[("title", 1, &Shape::Text), ("version", 6, &Shape::Text)], extensions: 7 };

static SECURITY_SCHEME: Message = Message {
    fields: &[
        ("type", 1, &Shape::Text),
        ("description", 2, &Shape::Text),
        ("name", 3, &Shape::Text),
        ("in", 4, &Shape::Text),
    ],
    extensions: 9,
};

/// A document, filled piece by piece.
pub struct Document {
    head: Vec<u8>,
    paths: Vec<u8>,
    schemas: Vec<u8>,
    security: Vec<u8>,
}

impl Document {
    pub fn new(info: &Value, security: &Value) -> Self {
        let (mut head, mut schemes) = (Vec::new(), Vec::new());
        bytes(&mut head, 1, b"3.0.0");
        field(&mut head, 2, &Shape::Message(&INFO), info);
        static SCHEME: Shape = Shape::OneOf(&[(Test::Otherwise, 1, &Shape::Message(&SECURITY_SCHEME))]);
        field(&mut schemes, 7, &Shape::Map(1, &SCHEME), security);
        Self { head, paths: Vec::new(), schemas: Vec::new(), security: schemes }
    }

    pub fn path(&mut self, path: &str, item: &Value) {
        bytes(&mut self.paths, 1, &named(path, &Shape::Message(&ITEM), item));
    }

    pub fn schema(&mut self, name: &str, schema: &Value) {
        bytes(&mut self.schemas, 1, &named(name, &SCHEMA_OR_REFERENCE, schema));
    }

    pub fn finish(self) -> Vec<u8> {
        let mut out = self.head;
        bytes(&mut out, 4, &self.paths);
        let mut components = Vec::with_capacity(self.schemas.len() + self.security.len() + 8);
        if !self.schemas.is_empty() {
            bytes(&mut components, 1, &self.schemas);
        }
        components.extend(self.security);
        bytes(&mut out, 5, &components);
        out
    }
}
