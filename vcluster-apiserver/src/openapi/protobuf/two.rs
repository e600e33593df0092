//! The messages of `openapi_v2.Document`.

use super::{Message, Shape, Test, bytes, field, named};
use serde_json::Value;

static STRINGS: Shape = Shape::List(&Shape::Text);
static REFERENCE: Message =
    Message { fields: &[("$ref", 1, &Shape::Text), ("description", 2, &Shape::Text)], extensions: 0 };

static SCHEMA: Message = Message {
    fields: &[
        ("$ref", 1, &Shape::Text),
        ("format", 2, &Shape::Text),
        ("title", 3, &Shape::Text),
        ("description", 4, &Shape::Text),
        ("default", 5, &Shape::Any),
        ("uniqueItems", 16, &Shape::Flag),
        ("required", 19, &STRINGS),
        ("enum", 20, &Shape::List(&Shape::Any)),
        (
            "additionalProperties",
            21,
            &Shape::OneOf(&[(Test::Boolean, 2, &Shape::Flag), (Test::Otherwise, 1, &Shape::Message(&SCHEMA))]),
        ),
        ("type", 22, &Shape::Wrapped(1, &Shape::Text)),
        ("items", 23, &Shape::Wrapped(1, &Shape::Message(&SCHEMA))),
        ("allOf", 24, &Shape::List(&Shape::Message(&SCHEMA))),
        ("properties", 25, &Shape::Map(1, &Shape::Message(&SCHEMA))),
    ],
    extensions: 31,
};

static BODY: Message = Message {
    fields: &[
        ("description", 1, &Shape::Text),
        ("name", 2, &Shape::Text),
        ("in", 3, &Shape::Text),
        ("required", 4, &Shape::Flag),
        ("schema", 5, &Shape::Message(&SCHEMA)),
    ],
    extensions: 6,
};

static QUERY: Message = Message {
    fields: &[
        ("required", 1, &Shape::Flag),
        ("in", 2, &Shape::Text),
        ("description", 3, &Shape::Text),
        ("name", 4, &Shape::Text),
        ("type", 6, &Shape::Text),
        ("format", 7, &Shape::Text),
        ("uniqueItems", 20, &Shape::Flag),
    ],
    extensions: 23,
};

static PATH: Message = Message {
    fields: &[
        ("required", 1, &Shape::Flag),
        ("in", 2, &Shape::Text),
        ("description", 3, &Shape::Text),
        ("name", 4, &Shape::Text),
        ("type", 5, &Shape::Text),
        ("format", 6, &Shape::Text),
        ("uniqueItems", 19, &Shape::Flag),
    ],
    extensions: 22,
};

static PARAMETER: Shape = Shape::OneOf(&[
    (Test::In("body"), 1, &Shape::Message(&BODY)),
    (
        Test::Otherwise,
        2,
        &Shape::OneOf(&[(Test::In("path"), 4, &Shape::Message(&PATH)), (Test::Otherwise, 3, &Shape::Message(&QUERY))]),
    ),
]);

static PARAMETERS: Shape = Shape::List(&Shape::OneOf(&[
    (Test::Has("$ref"), 2, &Shape::Message(&REFERENCE)),
    (Test::Otherwise, 1, &PARAMETER),
]));

static RESPONSE: Message = Message {
    fields: &[
        ("description", 1, &Shape::Text),
        ("schema", 2, &Shape::OneOf(&[(Test::Otherwise, 1, &Shape::Message(&SCHEMA))])),
    ],
    extensions: 5,
};

static OPERATION: Message = Message {
    fields: &[
        ("tags", 1, &STRINGS),
        ("description", 3, &Shape::Text),
        ("operationId", 5, &Shape::Text),
        ("produces", 6, &STRINGS),
        ("consumes", 7, &STRINGS),
        ("parameters", 8, &PARAMETERS),
        ("responses", 9, &Shape::Map(1, &Shape::OneOf(&[(Test::Otherwise, 1, &Shape::Message(&RESPONSE))]))),
        ("schemes", 10, &STRINGS),
    ],
    extensions: 13,
};

static ITEM: Message = Message {
    fields: &[
        ("get", 2, &Shape::Message(&OPERATION)),
        ("put", 3, &Shape::Message(&OPERATION)),
        ("post", 4, &Shape::Message(&OPERATION)),
        ("delete", 5, &Shape::Message(&OPERATION)),
        ("options", 6, &Shape::Message(&OPERATION)),
        ("head", 7, &Shape::Message(&OPERATION)),
        ("patch", 8, &Shape::Message(&OPERATION)),
        ("parameters", 9, &PARAMETERS),
    ],
    extensions: 10,
};

static INFO: Message = Message { fields: &[("title", 1, &Shape::Text), ("version", 2, &Shape::Text)], extensions: 7 };

static API_KEY: Message = Message {
    fields: &[
        ("type", 1, &Shape::Text),
        ("name", 2, &Shape::Text),
        ("in", 3, &Shape::Text),
        ("description", 4, &Shape::Text),
    ],
    extensions: 5,
};

/// A document, filled piece by piece.
pub struct Document {
    head: Vec<u8>,
    paths: Vec<u8>,
    definitions: Vec<u8>,
    parameters: Vec<u8>,
    tail: Vec<u8>,
}

impl Document {
    pub fn new(info: &Value, security: &Value, definitions: &Value) -> Self {
        let (mut head, mut tail) = (Vec::new(), Vec::new());
        bytes(&mut head, 1, b"2.0");
        field(&mut head, 2, &Shape::Message(&INFO), info);
        static REQUIREMENT: Shape = Shape::Map(1, &Shape::Wrapped(1, &Shape::Text));
        static SCHEME: Shape = Shape::OneOf(&[(Test::Otherwise, 2, &Shape::Message(&API_KEY))]);
        field(&mut tail, 12, &Shape::List(&REQUIREMENT), security);
        field(&mut tail, 13, &Shape::Map(1, &SCHEME), definitions);
        Self { head, paths: Vec::new(), definitions: Vec::new(), parameters: Vec::new(), tail }
    }

    pub fn path(&mut self, path: &str, item: &Value) {
        bytes(&mut self.paths, 2, &named(path, &Shape::Message(&ITEM), item));
    }

    pub fn definition(&mut self, name: &str, schema: &Value) {
        bytes(&mut self.definitions, 1, &named(name, &Shape::Message(&SCHEMA), schema));
    }

    pub fn parameter(&mut self, name: &str, parameter: &Value) {
        bytes(&mut self.parameters, 1, &named(name, &PARAMETER, parameter));
    }

    pub fn finish(self) -> Vec<u8> {
        let mut out = self.head;
        out.reserve(self.paths.len() + self.definitions.len() + self.parameters.len() + self.tail.len() + 32);
        bytes(&mut out, 8, &self.paths);
        bytes(&mut out, 9, &self.definitions);
        bytes(&mut out, 10, &self.parameters);
        out.extend(self.tail);
        out
    }
}
