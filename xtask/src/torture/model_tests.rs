use super::*;

/// A client that has set key 0 to 1, has counted to 2, and was acknowledged.
fn settled() -> (Model, Found) {
    let mut model = Model::new(3);
    let number = model.number_value();
    model.note_sent(vec![Effect::Set(0, number)]);
    model.note_acknowledged(None).unwrap();
    for sum in 1..=2 {
        model.note_sent(vec![Effect::AddToOwn]);
        model.note_acknowledged(Some(sum)).unwrap();
    }
    let found = [("client:3:0", value(1)), ("client:3:count", b"2".to_vec())];
    let found = found.map(|(key, value)| (key.to_owned(), value));
    (model, found.into_iter().collect())
}

fn put(found: &mut Found, key: &str, value: &[u8]) {
    found.insert(key.to_owned(), value.to_vec());
}

#[track_caller]
fn assert_violation(model: &Model, found: &Found, key: &str) {
    let all = model.check(found);
    assert!(all.first().is_some_and(|first| first.key == key), "{all:?}");
}

#[test]
fn acknowledged_state_is_accepted() {
    let (model, found) = settled();
    assert_eq!(model.check(&found), []);
}

#[test]
fn lost_effects_are_reported() {
    let (mut model, mut found) = settled();
    let whole = found.clone();
    found.remove("client:3:0");
    assert_violation(&model, &found, "client:3:0");
    found = whole.clone();
    put(&mut found, "client:3:count", b"1");
    assert_violation(&model, &found, "client:3:count");
    found.remove("client:3:count");
    assert_violation(&model, &found, "client:3:count");
    // A removal is lost, too.
    let number = model.number_value();
    model.note_sent(vec![Effect::Remove(0, number)]);
    assert_eq!(model.check(&whole), [], "it was not acknowledged");
    model.note_acknowledged(None).unwrap();
    assert_violation(&model, &whole, "client:3:0");
}

#[test]
fn doubled_effects_are_reported() {
    let (mut model, mut found) = settled();
    put(&mut found, "client:3:count", b"3");
    assert_violation(&model, &found, "client:3:count");
    model.note_sent(vec![Effect::AddToOwn]);
    assert_eq!(model.check(&found), [], "one more was sent");
    put(&mut found, "client:3:count", b"4");
    assert_violation(&model, &found, "client:3:count");
    assert!(model.note_acknowledged(Some(4)).is_err(), "the reply shows it");
}

#[test]
fn wrong_values_are_reported() {
    let (mut model, mut found) = settled();
    put(&mut found, "client:3:0", b"1:x");
    assert_violation(&model, &found, "client:3:0");
    let numbers = [model.number_value(), model.number_value()];
    for number in numbers {
        model.note_sent(vec![Effect::Set(0, number)]);
    }
    for number in [1, 2, 3] {
        put(&mut found, "client:3:0", &value(number));
        assert_eq!(model.check(&found), [], "{number}");
    }
    put(&mut found, "client:3:0", &value(4));
    assert_violation(&model, &found, "client:3:0");
    model.note_acknowledged(None).unwrap();
    put(&mut found, "client:3:0", &value(1));
    assert_violation(&model, &found, "client:3:0");
    put(&mut found, "client:3:count", b"two");
    put(&mut found, "client:3:0", &value(3));
    assert_violation(&model, &found, "client:3:count");
}

#[test]
fn later_change_without_an_earlier_one_is_reported() {
    let (mut model, mut found) = settled();
    let number = model.number_value();
    model.note_sent(vec![Effect::AddToOwn]);
    model.note_sent(vec![Effect::Set(1, number)]);
    put(&mut found, "client:3:1", &value(number));
    assert_violation(&model, &found, "client:3:count");
    put(&mut found, "client:3:count", b"3");
    assert_eq!(model.check(&found), []);
    found.remove("client:3:1");
    assert_eq!(model.check(&found), []);
}

#[test]
fn change_in_part_is_reported() {
    let (mut model, mut found) = settled();
    let number = model.number_value();
    model.note_sent((KEYS..KEYS + GROUP).map(|key| Effect::Set(key, number)).collect());
    model.note_refused();
    assert_eq!(model.check(&found), []);
    for key in KEYS..KEYS + GROUP {
        let name = model.key(key);
        put(&mut found, &name, &value(number));
        assert_eq!(model.check(&found).is_empty(), key + 1 == KEYS + GROUP, "{key}");
    }
}

#[test]
fn refused_change_may_have_happened() {
    let (mut model, mut found) = settled();
    model.note_sent(vec![Effect::AddToOwn]);
    model.note_refused();
    assert_eq!(model.check(&found), []);
    put(&mut found, "client:3:count", b"3");
    assert_eq!(model.check(&found), []);
    model.note_sent(vec![Effect::AddToOwn]);
    assert!(model.clone().note_acknowledged(Some(3)).is_ok(), "the refused one did not happen");
    assert!(model.clone().note_acknowledged(Some(4)).is_ok(), "it did");
    assert!(model.clone().note_acknowledged(Some(5)).is_err());
    assert!(model.note_acknowledged(Some(2)).is_err());
}

#[test]
fn shared_counters_are_compared_in_total() {
    let mut models = [Model::new(0), Model::new(1)];
    for (model, sum) in models.iter_mut().zip([1, 2]) {
        model.note_sent(vec![Effect::AddToShared(1)]);
        model.note_acknowledged(Some(sum)).unwrap();
        model.note_sent(vec![Effect::AddToShared(1)]);
    }
    for (count, is_good) in [("1", false), ("2", true), ("4", true), ("5", false)] {
        let found = Found::from([("shared:1".to_owned(), count.as_bytes().to_vec())]);
        let (now, violations) = check_shared(&models, &[0, 0], &found);
        assert_eq!(violations.is_empty(), is_good, "{count}: {violations:?}");
        assert_eq!(now[1].to_string(), count);
    }
    // Two clients were told the same sum.
    models[0].note_acknowledged(Some(3)).unwrap();
    models[1].note_acknowledged(Some(3)).unwrap();
    let found = Found::from([("shared:1".to_owned(), b"4".to_vec())]);
    assert_eq!(check_shared(&models, &[0, 0], &found).1.len(), 1);
}

#[test]
fn model_goes_on_from_what_was_found() {
    let (mut model, mut found) = settled();
    model.note_sent(vec![Effect::AddToOwn]);
    put(&mut found, "client:3:count", b"3");
    model.settle(&found, &[0, 0]);
    assert_eq!(model.check(&found), []);
    put(&mut found, "client:3:count", b"2");
    assert_violation(&model, &found, "client:3:count");
    found.remove("client:3:0");
    put(&mut found, "client:3:count", b"3");
    assert_violation(&model, &found, "client:3:0");
}
