// SPDX-License-Identifier: Apache-2.0

pragma solidity ^0.8.0;

/// What is called of ezkl's contract. Its own declaration promises a third result, which it returns
/// in a form that no ABI decoder reads.
interface IHalo2Verifier {
    function registerVka(bytes32[] calldata vka) external returns (bytes32 digest);

    function verifyProof(bytes calldata proof, uint256[] calldata instances, bytes32[] calldata vka)
        external
        view
        returns (bool success, bytes32 digest);
}

/// The circuit part of a huref-zk proof, for one circuit under one SRS; docs/evm.md says what the
/// other parts are and who must check them.
///
/// ezkl's contract must be called through this one only. It accepts any registered key, and anybody
/// may register one: here the key is fixed. And it hashes the proof where the calldata says it lies,
/// but computes with what lies where a proof usually does: here both are the same, because the
/// arguments are written anew for it, one after the other.
contract HurefCircuit {
    /// Length of what opens a proof: the commitments to the circuit's columns.
    uint256 private constant COLUMNS = 4 * 64;
    /// Numbers of v.
    uint256 private constant V = 512;
    /// Range conditions that must hold: the circuit's next output counts them.
    uint256 private constant CONDITIONS = 12;
    /// Its last outputs: differences that must be zero.
    uint256 private constant GAPS = 3;

    /// keccak256 of the words of the circuit's verifying key.
    bytes32 public immutable key;
    IHalo2Verifier private immutable halo2;
    bool private registered;

    /// Somebody knows columns with these commitments (keccak256 of the points) from which the
    /// circuit computes v (keccak256 of its integers, 32 bytes each), every range condition holding.
    event Proven(bytes32 indexed columns, bytes32 indexed v);

    constructor(bytes32 circuitKey) {
        key = circuitKey;
        halo2 = IHalo2Verifier(address(new Halo2VerifierReusable()));
    }

    /// Reverts unless the proof holds. words: those of the verifying key.
    function check(bytes calldata proof, uint256[] calldata v, bytes32[] calldata words)
        external
        returns (bytes32 columns)
    {
        require(v.length == V, "v has another length");
        uint256[] memory outputs = new uint256[](V + 1 + GAPS);
        for (uint256 i = 0; i < V; i++) outputs[i] = v[i];
        outputs[V] = CONDITIONS;
        if (!registered) {
            require(halo2.registerVka(words) == key, "another circuit's key");
            registered = true;
        }
        (bool success, bytes32 used) = halo2.verifyProof(proof, outputs, words);
        require(success && used == key, "another circuit's key");
        columns = keccak256(proof[:COLUMNS]);
        emit Proven(columns, keccak256(abi.encodePacked(v)));
    }
}
