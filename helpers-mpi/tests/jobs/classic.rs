//! Classic MPI on ranks that are well.

use helpers_mpi::prelude::*;

#[test]
fn values_come_back_in_rank_order() {
    let values = mpi_run(4, |world| (world.rank(), world.size(), "text".to_owned())).unwrap();
    let wanted: Vec<_> = (0..4).map(|rank| (rank, 4, "text".to_owned())).collect();
    assert_eq!(values, wanted);
}

#[test]
fn one_rank_is_enough() {
    assert_eq!(mpi_run(1, |world| world.size()).unwrap(), [1]);
}

#[test]
fn ranks_exchange_messages() {
    let received = mpi_run(3, |world| {
        let (rank, size) = (world.rank(), world.size());
        let (right, left) = ((rank + 1) % size, (rank + size - 1) % size);
        let mut from_left = 0;
        mpi::point_to_point::send_receive_into(
            &(10 * rank),
            &world.process_at_rank(right),
            &mut from_left,
            &world.process_at_rank(left),
        );
        from_left
    });
    assert_eq!(received.unwrap(), [20, 0, 10]);
}

#[test]
fn large_values_come_back() {
    let values = mpi_run(2, |world| vec![world.rank() as f64; 2_000_000]).unwrap();
    assert!(values.iter().enumerate().all(|(rank, value)| {
        value.len() == 2_000_000 && value.iter().all(|&x| x == rank as f64)
    }));
}
