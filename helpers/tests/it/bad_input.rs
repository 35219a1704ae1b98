use helpers::prelude::*;

#[test]
fn zero_workers_are_refused_with_the_range() {
    let error = Pool::new(0).unwrap_err();
    assert!(error.is_invalid_input());
    assert_eq!(
        error.to_string(),
        "a pool of 0 workers was asked for; give a number from 1 to 1024"
    );
}

#[test]
fn a_million_workers_are_refused_before_any_starts() {
    let error = Pool::new(1_000_000).unwrap_err();
    assert!(error.is_invalid_input());
    assert!(error.to_string().contains("1000000"), "{error}");
}

#[test]
fn a_chunk_size_of_zero_is_refused() {
    let pool = Pool::new(1).unwrap();
    let error = pool.chunk_size(0).unwrap_err();
    assert!(error.is_invalid_input());
    assert!(error.to_string().contains("at least 1"), "{error}");
}

#[test]
fn an_empty_list_gives_an_empty_result() {
    let pool = Pool::new(2).unwrap();
    let none: [u32; 0] = [];
    assert!(pool.map(|x: u32| x, none).is_empty());
    assert!(pool.starmap(|x: u32, y: u32| x + y, []).is_empty());
    assert_eq!(
        map_reduce(&pool, &none, |part| part.len(), |a, b| a + b),
        None
    );
    assert_eq!(par_sum(&[] as &[f64]), 0.0);
}
